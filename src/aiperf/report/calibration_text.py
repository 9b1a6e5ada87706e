"""What a calibration has found, as plain text.

Owns: choice and wording, for the console's lines after a benchmark and for the table of `aiperf calibrate`. Does not
own: the figures (`aiperf.metrics.calibration`).
"""

from collections.abc import Iterator

from aiperf.metrics.calibration import Calibration, CalibrationStep

LABELS = {
    "time_to_first_token": "TTFT",
    "inter_token_latency": "ITL",
    "inter_chunk_latency": "gaps",
    "request_latency": "latency",
}
_COLUMN = 15
_LOAD_WIDTH = 30


def calibration_lines(calibration: Calibration) -> list[str]:
    """Own overhead at the plan's load, and the largest truthful load: a few lines."""
    own = calibration.own_step
    lines = []
    if own is None:
        lines.append(f"nothing was found out: {calibration.why_not_more}")
    elif own.errors:
        errors = " · ".join(f"{label} {_error(own, name)}" for name, label in LABELS.items() if name in own.errors)
        lines.append(f"own error at this load, p50/p99 in ms: {errors}")
        if own.reasons:
            lines.append(f"this load is {_outcome_words(own)}: {'; '.join(own.reasons)}")
    else:
        lines.append(f"at this load: {'; '.join(own.reasons)}")
    if own is not None:
        lines.append(largest_line(calibration))
    return lines + list(calibration.notes)


def largest_line(calibration: Calibration) -> str:
    """How much these workers can carry, and why not more."""
    largest = calibration.largest_truthful_load
    if largest is None:
        return f"no load was carried truthfully ({calibration.why_not_more})"
    return f"largest truthful load: {largest} ({calibration.why_not_more})"


def calibration_table(calibration: Calibration) -> str:
    """Every step, as `aiperf calibrate` prints it."""
    return "\n".join(_table_lines(calibration)) + "\n"


def _table_lines(calibration: Calibration) -> Iterator[str]:
    yield (
        f"Built-in server: TTFT {calibration.ttft_ms:g} ms, ITL {calibration.itl_ms:g} ms, "
        f"answers of at most {calibration.tokens_max:,} tokens; steps of {calibration.duration_s:g} s."
    )
    yield "This side's own error, p50/p99 in ms:"
    yield ""
    names = [name for name in LABELS if any(name in step.errors for step in calibration.steps)]
    header = "".join(f"{LABELS[name]:>{_COLUMN}}" for name in names)
    yield f"{'load':<{_LOAD_WIDTH}}{header}{'answers/s':>12}{'chunks/s':>11}  truthful"
    for step in calibration.steps:
        cells = "".join(f"{_error(step, name):>{_COLUMN}}" for name in names)
        rates = f"{step.request_throughput:>12,.1f}{step.chunk_throughput:>11,.0f}"
        yield f"{step.load:<{_LOAD_WIDTH}}{cells}{rates}  {_answer(step)}"
        for reason in step.reasons:
            yield f"  {reason}"
    if calibration.steps:
        yield ""
        line = largest_line(calibration)
        yield line[0].upper() + line[1:]
    else:
        yield f"nothing was found out: {calibration.why_not_more}"
    yield from calibration.notes


def _answer(step: CalibrationStep) -> str:
    return {"truthful": "yes", "untruthful": "no"}.get(step.outcome, "not known")


def _outcome_words(step: CalibrationStep) -> str:
    return {"untruthful": "more than can be carried truthfully"}.get(step.outcome, "not known to be truthful")


def _error(step: CalibrationStep, name: str) -> str:
    found = step.errors.get(name)
    return "-" if found is None else f"{_number(found['p50'])}/{_number(found['p99'])}"


def _number(value_ms: float) -> str:
    return f"{value_ms:.3f}" if value_ms < 1 else f"{value_ms:.2f}" if value_ms < 100 else f"{value_ms:,.0f}"
