"""The final table: what a person wants to know first, on one screen, calm and readable without colour.

Owns: choice, order and wording of what is shown. Does not own: the numbers, which all come from the summary (the screen
may be on another machine than the run).
"""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from aiperf.metrics.distribution import RARE_PERCENTS, MetricResult
from aiperf.metrics.summary import Summary
from aiperf.metrics.verdict_reasons import Severity
from aiperf.report.atomic import write_atomic
from aiperf.report.calibration_text import calibration_lines
from aiperf.report.promise_text import promise_parts
from aiperf.report.summary_json import load_summary

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

FILE_SUFFIX = "_console.txt"
FILE_WIDTH = 100
WIDE = 104
"""From this many columns on, min and max are shown too."""
ERRORS_SHOWN = 5
MESSAGE_SHOWN = 160
"""Characters of an error's first text; the summary file has more."""
LABEL_WIDTH = 12
NUMBER_WIDTH = 7
STATUS_STYLE = {"valid": "green", "degraded": "yellow", "invalid": "bold red"}
FROM_DUE = "  from intended time"
RARE = ("p99.9", "p99.99")
"""Shown as soon as the sample is large enough for them: as columns if there is room, else under the table."""
SIGNS = {Severity.DEGRADED: "!", Severity.INVALID: "!!"}
"""Beside what a reason of the verdict touches."""
SIGN_STYLE = {"!": "yellow", "!!": "bold red"}
CAUSES_SHOWN = 3

LATENCY_ROWS = (
    ("time_to_first_token", "Time to first token"),
    ("effective_time_to_first_token", FROM_DUE),
    ("time_to_first_output_token", "Time to first output token"),
    ("inter_token_latency", "Inter-token latency"),
    ("request_latency", "Request latency"),
    ("effective_latency", FROM_DUE),
    ("output_token_throughput_per_user", "Output per user"),
    ("input_sequence_length", "Input length"),
    ("output_sequence_length", "Output length"),
)
"""Rows of the table, where the run has them. The first output token has its row when there was reasoning before it."""


def print_summary(summary_path: Path, file: TextIO) -> None:
    """Shows the results written at this path. Raises: InfrastructureError if there are none."""
    summary = load_summary(summary_path)
    encoding = (getattr(file, "encoding", None) or "utf-8").lower().replace("-", "")
    if encoding != "utf8":
        file.write(_ascii(console_text(summary, 80, summary_path.parent)))
        return
    console = _console(file=file)
    with console.capture() as text:  # written by us: rich itself leaves the process when nobody reads on
        console.print(render(summary, console.width, summary_path.parent))
    file.write(text.get())


def write_console(path: Path, summary: Summary) -> None:
    """Writes the table as a file, without colour. Raises: InfrastructureError if it cannot be written."""
    # Without the folder: the file lies in it, wherever it is brought.
    write_atomic(path, console_text(summary, FILE_WIDTH))


def console_text(summary: Summary, width: int, artifact_dir: Path | None = None) -> str:
    """The table as plain text."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 (a device has no business with Path)
        console = _console(file=nowhere, width=width, color_system=None, force_terminal=False, record=True)
        console.print(render(summary, width, artifact_dir))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines()).rstrip() + "\n"


def render(summary: Summary, width: int, artifact_dir: Path | None = None) -> "Group":
    """The whole table, to be printed at this width."""
    from rich.console import Group

    parts: list[Table | Text] = [_heading(summary), _line()]
    rows = _table_rows(summary)
    if rows:
        parts += [_statistics_table(rows, width, summary), *_footnotes(rows, width, summary), _line()]
    parts += [_facts(summary, artifact_dir, width - LABEL_WIDTH)]
    return Group(*parts)


# rich takes 50 ms to import, which `aiperf --help` need not wait for: hence the imports where it is used.


def _console(**options: object) -> "Console":
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False, **options)  # type: ignore[arg-type]


def _line(text: str = "", style: str = "") -> "Text":
    from rich.text import Text

    return Text(text, style)


def _heading(summary: Summary) -> "Text":
    endpoint = summary.input_config.get("endpoint") or {}
    parts = [
        ", ".join(endpoint.get("models", ())),
        f"{endpoint.get('endpoint_type', '')}{', streaming' if _is_streaming(summary) else ''}",
        ", ".join(endpoint.get("urls", ())),
    ]
    heading = _line().append(f"aiperf {summary.aiperf_version}", "bold")
    for part in filter(None, parts):
        heading.append(" · ", "dim").append(_printable(part))
    return heading


class Row(NamedTuple):
    tag: str
    label: str
    result: MetricResult


def _table_rows(summary: Summary) -> list[Row]:
    reasoning = summary.metrics.get("reasoning_token_count")
    has_reasoning = reasoning is not None and reasoning.statistics.get("sum", 0) > 0
    return [
        Row(tag, label, summary.metrics[tag])
        for tag, label in LATENCY_ROWS
        if tag in summary.metrics and (has_reasoning or tag != "time_to_first_output_token")
    ]


def _sign(summary: Summary, tag: str) -> str:
    """What stands beside a metric that may be off; empty if nothing says so."""
    severity = summary.verdict.touched(tag)
    return SIGNS[severity] if severity else ""


def _statistics_table(rows: Sequence[Row], width: int, summary: Summary) -> "Table":
    from rich.table import Table

    names = ["avg", "p50", "p90", "p95", "p99"]
    if width >= WIDE:
        names = ["avg", "min", "p50", "p90", "p95", "p99", *_rare_columns(rows, width), "max"]
    table = Table(box=None, padding=(0, 0), pad_edge=False, header_style="dim", expand=False)
    table.add_column("", width=27, no_wrap=True)
    table.add_column("", width=8, no_wrap=True, style="dim")
    for name in names:
        table.add_column(name, justify="right", width=9 if width < WIDE else 10, no_wrap=True)
    for tag, label, result in rows:
        unit = result.unit.removesuffix("/user")
        cells = [_cell(result, name) if name in result.statistics else _line() for name in names]
        sign = _sign(summary, tag)
        named = _line(label, "" if label != FROM_DUE else "dim")
        table.add_row(named.append(f" {sign}", SIGN_STYLE[sign]) if sign else named, unit, *cells)
    return table


def _rare_columns(rows: Sequence[Row], width: int) -> list[str]:
    """The percentiles beyond p99 that some row has, if all of them fit into the table."""
    names = [name for name in RARE if any(name in row.result.statistics for row in rows)]
    return names if width >= WIDE + 10 * len(names) else []


def _rare_lines(rows: Sequence[Row]) -> Iterator["Text"]:
    """Percentiles beyond p99 that are no columns."""
    yield _line("Beyond p99:", "dim")
    for _, label, result in rows:
        rare = [f"{name} {_cell(result, name).plain} {result.unit}" for name in RARE if name in result.statistics]
        if rare and result.unit == "ms":
            yield _line(f"  {label:<25}{', '.join(rare)}", "dim")


def _cell(result: MetricResult, name: str) -> "Text":
    """A statistic with its mark: ≥ where the truth may be higher, ~ where the sample is too small for it."""
    is_small = name == "p99" and result.p99_interval is not None and result.unit != "tokens"
    mark = "≥" if name in result.lower_bounds else "~" if is_small else ""
    return _line(f"{mark}{_fitting(result.statistics[name], _decimals(result))}", "dim" if is_small else "")


def _fitting(value: float, decimals: int) -> str:
    """The value in no more than 7 characters, so that a mark and a gap remain: with fewer decimals, else in k or M."""
    for fewer in range(decimals, -1, -1):
        if len(text := number(value, fewer)) <= NUMBER_WIDTH:
            return text
    return f"{value / 1e3:,.0f}k" if abs(value) < 1e6 else f"{value / 1e6:,.1f}M"


def _decimals(result: MetricResult) -> int:
    """One precision per row, by its middle: three to five figures can be read at a glance."""
    middle = abs(result.statistics["p50"])
    if result.unit == "tokens":
        return 0 if middle >= 100 else 1
    return 3 if middle < 1 else 2 if middle < 100 else 1 if middle < 10_000 else 0


def number(value: float, decimals: int) -> str:
    """The value with thousands separated."""
    return "∞" if math.isinf(value) else f"{value:,.{decimals}f}"


def _is_streaming(summary: Summary) -> bool:
    return bool((summary.input_config.get("endpoint") or {}).get("streaming"))


def _footnotes(rows: Sequence[Row], width: int, summary: Summary) -> Iterator["Text"]:
    if any(name in row.result.statistics for row in rows for name in RARE) and not _rare_columns(rows, width):
        yield from _rare_lines(rows)
    if any(_sign(summary, row.tag) for row in rows):
        yield _line("! may be off, !! is too far off to be used: the verdict says how far", "dim")
    if not _is_streaming(summary):
        yield _line("Time to first token and inter-token latency need --streaming", "dim")
    small = [(label, result) for _, label, result in rows if result.p99_interval and result.unit == "ms"]
    if small:
        count = min(int(result.statistics["count"]) for _, result in small)
        yield _line(
            f"~ {count:,} requests are few for p99 ({RARE_PERCENTS[99.0]} needed). At 99% confidence it is:", "dim"
        )
        for label, result in small:
            if label != FROM_DUE and result.p99_interval:
                low, high = (number(end, _decimals(result)) for end in result.p99_interval)
                between = f"{low} {result.unit} or more" if high == "∞" else f"{low} to {high} {result.unit}"
                yield _line(f"  {label:<25}{between}", "dim")
    if any(row.result.lower_bounds for row in rows):
        yield _line("≥ may be higher: requests were cut before they had ended, or were never sent", "dim")
    error = max(row.result.relative_error for row in rows)
    if error:
        yield _line(
            f"Percentiles are within {error:.1%} of the exact ones: there were too many requests to keep all", "dim"
        )


def _facts(summary: Summary, artifact_dir: Path | None, width: int) -> "Table":
    """Everything under the table: a label on the left, text that wraps on the right."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 0))
    grid.add_column(width=LABEL_WIDTH, no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    blocks = (
        (
            ("Throughput", [*_throughput(summary, width)]),
            ("Load", _lines(_load(summary), width)),
            ("Requests", _lines(_requests(summary), width)),
            ("Promise", _lines(promise_parts(summary.promise), width)),
        ),
        (("Errors", [*_errors(summary)]),),
        (("Verdict", [*_verdict(summary)]), ("Warnings", [_line(_printable(text)) for text in summary.warnings])),
        (
            ("Calibrated", [_line(_printable(text)) for text in _calibrated(summary)]),
            ("Measured", _lines(_sources(summary), width)),
            ("Artifacts", [*_artifacts(summary, artifact_dir, width)]),
        ),
    )
    is_first = True
    for block in blocks:
        lines = [(label, texts) for label, texts in block if texts]
        if lines and not is_first:
            grid.add_row("", "")
        for label, texts in lines:
            for position, text in enumerate(texts):
                grid.add_row(label if position == 0 else "", text)
        is_first = is_first and not lines
    return grid


def _calibrated(summary: Summary) -> list[str]:
    return calibration_lines(summary.calibration) if summary.calibration is not None else []


def _value(summary: Summary, tag: str) -> float | None:
    result = summary.metrics.get(tag)
    return None if result is None else result.statistics["avg"]


def _lines(parts: Sequence[str], width: int, separator: str = " · ", style: str = "") -> list["Text"]:
    """The parts on as few lines as hold them. No part is broken unless it alone is longer than a line."""
    lines: list[Text] = []
    for part in parts:
        if lines and len(lines[-1]) + len(separator) + len(part) <= width:
            lines[-1].append(separator, "dim").append(part, style)
        else:
            lines.append(_line(part, style))
    return lines


def _mark(summary: Summary, tag: str) -> str:
    """The sign before a single value."""
    sign = _sign(summary, tag)
    return f"{sign} " if sign else ""


def _throughput(summary: Summary, width: int) -> Iterator["Text"]:
    whole = [
        f"{_mark(summary, tag)}{number(value, 0 if value >= 10_000 else 2 if value < 100 else 1)} {unit}"
        for tag, unit in (
            ("request_throughput", "requests/s"),
            ("output_token_throughput", "output tokens/s"),
            ("total_token_throughput", "tokens/s in all"),
        )
        if (value := _value(summary, tag)) is not None
    ]
    yield from _lines(whole, width)
    requests, tokens = _value(summary, "steady_request_throughput"), _value(summary, "steady_output_token_throughput")
    if requests is not None:
        steady = [f"without ramp and drain: {number(requests, 2 if requests < 100 else 1)} requests/s"]
        if tokens:
            steady.append(f"{number(tokens, 0 if tokens >= 10_000 else 1)} output tokens/s")
        yield from _lines(steady, width, style="dim")
    goodput, good = _value(summary, "goodput"), _value(summary, "good_request_fraction")
    if goodput is not None and good is not None:
        objectives = (summary.input_config.get("results") or {}).get("goodput") or ""
        yield from _lines([f"{number(goodput, 2)} good requests/s ({good:.1%})", _printable(objectives)], width)


def _load(summary: Summary) -> list[str]:
    load = summary.load
    parts = []
    if load.request_rate is not None:
        parts.append(f"{load.request_rate:,.4g} requests/s asked for")
    if load.concurrency is not None:
        parts.append(f"{'at most ' if load.request_rate is not None else ''}{load.concurrency:,} at a time")
    if load.offered_rate is not None:
        parts.append(f"offered {number(load.offered_rate, 2)}/s")
    if load.achieved_rate is not None and load.request_rate is not None:
        parts.append(f"{_mark(summary, 'achieved_rate')}achieved {number(load.achieved_rate, 2)}/s")
    if load.unsent_count:
        parts.append(f"{load.unsent_count:,} never sent")
    if load.in_flight_avg is not None:
        parts.append(f"{number(load.in_flight_avg, 1)} in flight on average")
    return parts


def _requests(summary: Summary) -> list[str]:
    succeeded, failed = int(_value(summary, "request_count") or 0), int(_value(summary, "error_request_count") or 0)
    cancelled, censored = _value(summary, "cancelled_request_count"), _value(summary, "censored_count")
    parts = [f"{succeeded:,} succeeded"]
    if failed:
        parts.append(f"{failed:,} failed ({failed / (succeeded + failed):.2%})")
    if censored:
        parts.append(f"{int(censored):,} cut at the end of grace")
    if cancelled:
        parts.append(f"{int(cancelled):,} cancelled")
    if summary.credits.lost:
        parts.append(f"{summary.credits.lost:,} lost")
    duration = _value(summary, "benchmark_duration")
    if duration is not None:
        parts.append(f"in {duration:,.1f} s")
    return parts


def _errors(summary: Summary) -> Iterator["Text"]:
    entries = summary.error_summary
    widest = len(f"{max((entry.count for entry in entries), default=0):,}")
    for entry in entries[:ERRORS_SHOWN]:
        what = entry.kind if entry.code is None else f"{entry.kind} {entry.code}"
        text = _line().append(f"{entry.count:>{widest},}", "red").append(f" {what}")
        yield text.append(f"  {_printable(entry.message)[:MESSAGE_SHOWN]}", "dim") if entry.message else text
    if len(entries) > ERRORS_SHOWN:
        rest = entries[ERRORS_SHOWN:]
        yield _line(f"{sum(entry.count for entry in rest):,} of {len(rest)} other kinds", "dim")


def _verdict(summary: Summary) -> Iterator["Text"]:
    status = summary.verdict.status
    serious = [reason for reason in summary.verdict.reasons if reason.severity is not Severity.NOTE]
    notes = [reason for reason in summary.verdict.reasons if reason.severity is Severity.NOTE]
    words = {
        "valid": "the numbers can be trusted",
        "degraded": "read the numbers with the following in mind",
        "invalid": "do not use these numbers",
    }
    yield _line().append(status, STATUS_STYLE.get(status, "")).append(f"  {words.get(status, '')}", "dim")
    for reason in serious:
        sign = SIGNS[reason.severity]
        yield _line().append(f"{sign} ", SIGN_STYLE[sign]).append(_printable(reason.text))
    for cause in summary.verdict.causes[:CAUSES_SHOWN] if serious else ():
        yield _line(f"Meanwhile: {_printable(cause.text)}", "dim")
    for reason in notes:
        yield _line(f"Note: {_printable(reason.text)}", "dim")


def _sources(summary: Summary) -> list[str]:
    tokenizer = f" ({summary.tokenizer})" if summary.tokenizer else ""
    tokens = {
        "server": "tokens counted by the server",
        "tokenizer": f"tokens counted by the tokenizer{tokenizer}",
        "mixed": f"tokens counted by the server, else by the tokenizer{tokenizer}",
    }.get(summary.token_source, "tokens not counted")
    stamps = {
        "kernel": "arrivals stamped by the kernel",
        "user": "arrivals stamped in user space",
        "mixed": "arrivals stamped by the kernel, some in user space",
    }.get(summary.timestamp_source, "")
    return [part for part in (tokens, stamps) if part]


def _artifacts(summary: Summary, artifact_dir: Path | None, width: int) -> Iterator["Text"]:
    if artifact_dir is not None:
        yield _line(f"{_printable(str(artifact_dir))}{os.sep}")
    yield from _lines(summary.artifacts, width, separator="  ", style="dim")


def _printable(text: str) -> str:
    """A server's text may carry control sequences; none of them reaches the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def _ascii(text: str) -> str:
    for fancy, plain in (("≥", ">="), ("∞", "inf"), ("·", "-"), ("…", "...")):
        text = text.replace(fancy, plain)
    return text.encode("ascii", "replace").decode()
