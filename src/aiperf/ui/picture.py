"""What the live view says, as text without colour or place.

Owns: the choice and wording of what is shown of a `Progress`. Does not own: drawing (`dashboard`, `lines`). Pure: a
message in, texts out.
"""

from typing import NamedTuple

from aiperf.wire.messages import Progress

LATENCIES = (
    ("time_to_first_token", "Time to first token", "TTFT"),
    ("inter_token_latency", "Inter-token latency", "ITL"),
    ("request_latency", "Request latency", "latency"),
)
"""Tag, label of the dashboard, label of the lines."""
LINE_LATENCIES = ("time_to_first_token", "request_latency")
STATISTICS = ("avg", "p50", "p99")
ERROR_KINDS_MAX = 5
STATES = {
    "starting": "starting",
    "warmup": "warming up",
    "profiling": "profiling",
    "draining": "waiting for requests in flight",
    "processing": "processing records",
    "exporting": "writing results",
}


class LatencyRow(NamedTuple):
    """One metric so far. Units: ms, as text."""

    label: str
    avg: str
    p50: str
    p99: str


class Picture(NamedTuple):
    """Everything a view shows, in words."""

    state: str
    elapsed: str
    fraction: float | None
    """How much of the phase is done, 0 to 1; None if nothing bounds it."""
    extent: str
    """How far it is: `4,512 of 10,000 requests`, `0:12 of 1:00`."""
    left: str
    """How long it will take yet; empty if that cannot be said."""
    requests: list[tuple[str, str]]
    rates: list[tuple[str, str]]
    latencies: list[LatencyRow]
    errors: list[tuple[str, str]]
    """Kind and count, the most frequent first; the last one stands for the rest."""


def picture(progress: Progress) -> Picture:
    """What there is to say about this moment of the run."""
    return Picture(
        state=STATES.get(progress.state, progress.state),
        elapsed=clock_time(progress.elapsed_s),
        fraction=fraction_done(progress),
        extent=_extent(progress),
        left=_left(progress),
        requests=_requests(progress),
        rates=[
            ("requests/s", decimal(progress.request_rate)),
            ("output tokens/s", decimal(progress.output_token_rate)),
        ],
        latencies=[
            LatencyRow(label, *(_statistic(progress, tag, name) for name in STATISTICS))
            for tag, label, _ in LATENCIES
            if tag in progress.statistics
        ],
        errors=_errors(progress),
    )


def line(progress: Progress) -> str:
    """The same on one line, for logs."""
    said = picture(progress)
    counts = ", ".join(f"{value} {name}" for name, value in said.requests)
    rates = ", ".join(f"{value} {name}" for name, value in said.rates)
    parts = [f"{said.state} {said.extent}: {counts}" if said.extent else f"{said.state}: {counts}", rates]
    parts += [
        f"{short} p50 {_statistic(progress, tag, 'p50')} p99 {_statistic(progress, tag, 'p99')} ms"
        for tag, _, short in LATENCIES
        if tag in LINE_LATENCIES and tag in progress.statistics
    ]
    if said.errors:
        parts.append("errors: " + ", ".join(f"{kind} {count}" for kind, count in said.errors))
    if said.left:
        parts.append(f"{said.left} left")
    return f"[{said.elapsed}] " + "; ".join(parts)


def fraction_done(progress: Progress) -> float | None:
    """How much of the phase is done, 0 to 1. Undefined when nothing bounds it: None."""
    shares = []
    if progress.expected_count > 0:
        shares.append(_ended(progress) / progress.expected_count)
    if progress.expected_s > 0:
        shares.append(progress.elapsed_s / progress.expected_s)
    return min(1.0, max(0.0, *shares)) if shares else None


def _ended(progress: Progress) -> int:
    return progress.completed_count + progress.failed_count


def _extent(progress: Progress) -> str:
    if progress.expected_count > 0:
        return f"{count(_ended(progress))} of {count(progress.expected_count)} requests"
    if progress.expected_s > 0:
        return f"{clock_time(min(progress.elapsed_s, progress.expected_s))} of {clock_time(progress.expected_s)}"
    return ""


def _left(progress: Progress) -> str:
    """By the time that is bounded, else by the present rate of requests."""
    if progress.state not in ("warmup", "profiling"):
        return ""
    seconds = []
    if progress.expected_s > 0:
        seconds.append(progress.expected_s - progress.elapsed_s)
    if progress.expected_count > 0 and progress.request_rate > 0:
        seconds.append((progress.expected_count - _ended(progress)) / progress.request_rate)
    return clock_time(max(0.0, min(seconds))) if seconds else ""


def _requests(progress: Progress) -> list[tuple[str, str]]:
    return [
        ("done", count(progress.completed_count)),
        ("failed", count(progress.failed_count)),
        ("in flight", count(progress.in_flight_count)),
    ]


def _statistic(progress: Progress, tag: str, name: str) -> str:
    value = progress.statistics[tag].get(name)
    return "-" if value is None or value != value else decimal(value)


def _errors(progress: Progress) -> list[tuple[str, str]]:
    ranked = sorted(progress.errors.items(), key=lambda item: (-item[1], item[0]))
    shown = [(kind, count(number)) for kind, number in ranked[:ERROR_KINDS_MAX]]
    rest = sum(number for _, number in ranked[ERROR_KINDS_MAX:])
    return [*shown, ("others", count(rest))] if rest else shown


def count(number: int) -> str:
    """A count with thousands set apart, in millions from ten million on."""
    return f"{number:,}" if number < 10_000_000 else f"{number / 1e6:,.1f}M"


def decimal(value: float) -> str:
    """A measured value with about four digits that matter."""
    return f"{value:,.0f}" if value >= 9999.5 else f"{value:,.1f}" if value >= 99.95 else f"{value:.2f}"


def clock_time(seconds: float) -> str:
    """m:ss or h:mm:ss, in whole seconds gone."""
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
