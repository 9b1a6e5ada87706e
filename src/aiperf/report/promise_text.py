"""What became of the promise, in a line.

Owns: when it is told, and in which words. Does not own: the comparison (`aiperf.metrics.promise_kept`).
"""

from collections.abc import Iterator

from aiperf.metrics.promise_kept import PromiseKept, PromiseRow

_LABELS = {
    "workers": "workers",
    "connections": "open at once",
    "requests_per_s": "",
    "chunks_per_s": "",
    "time_to_first_token": "TTFT",
    "inter_token_latency": "ITL",
    "worker_cpu_s": "worker CPU",
    "record_processor_cpu_s": "record processor CPU",
    "control_cpu_s": "control CPU",
    "worker_memory_mb": "worker memory",
    "record_processor_memory_mb": "record processor memory",
    "control_memory_mb": "control memory",
}
"""Before the figures. What a row says of the same thing in another unit is told by that one row."""
_ALWAYS = ("time_to_first_token", "inter_token_latency", "requests_per_s", "chunks_per_s")


def promise_parts(kept: PromiseKept | None) -> list[str]:
    """What was missed; if nothing was, what was expected of the service and came true. Else nothing."""
    if kept is None:
        return []
    missed = [name for name in kept.missed if name in _LABELS]
    if missed:
        return ["missed", *_told(kept, missed)]
    told = [*_told(kept, [name for name in _ALWAYS if name in kept.rows])]
    return ["kept", *told] if kept.expects and told else []


def _told(kept: PromiseKept, names: list[str]) -> Iterator[str]:
    for name in names:
        row = kept.rows[name]
        if row.reached is not None:
            words = [_LABELS[name], f"{_number(row.reached)} of {_number(row.promised)}", _unit(name, row)]
            if name in kept.missed and row.ratio is not None:
                words.append(f"({row.ratio:.2f} x)")
            yield " ".join(filter(None, words))


def _unit(name: str, row: PromiseRow) -> str:
    return "" if name in ("workers", "connections") else row.unit.removeprefix("CPU-")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"
