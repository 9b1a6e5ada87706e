"""`profile_export_aiperf.json`: the summary in the shape that AIPerf's readers know, and back.

Owns: keys and their order. Does not own: the numbers (`aiperf.metrics.summary`).

Every metric is a key of its own at the top. JSON has no infinity: a percentile that is +∞ (failed requests count so in
`adj_…`) is null, and so is the open end of an interval.
"""

import math
from pathlib import Path
from typing import Any

import msgspec

from aiperf.errors import InfrastructureError
from aiperf.metrics.catalog import BY_TAG
from aiperf.metrics.distribution import MetricResult, insufficient_for
from aiperf.metrics.summary import Summary
from aiperf.report.atomic import write_atomic

FILE_SUFFIX = "_aiperf.json"
"""After the export prefix: `profile_export_aiperf.json`."""
_HEAD = ("schema_version", "aiperf_version", "benchmark_id")
_MARKS = ("lower_bounds", "bound_count", "insufficient_for", "p99_interval", "relative_error")
"""Keys of a metric beside its unit and statistics."""


def document_of(summary: Summary) -> dict[str, Any]:
    """The summary as the JSON object that is written."""
    fields: dict[str, Any] = msgspec.to_builtins(summary)
    document = {name: fields.pop(name) for name in _HEAD}
    del fields["metrics"]
    return document | {tag: _entry(result) for tag, result in summary.metrics.items()} | fields


def _entry(result: MetricResult) -> dict[str, Any]:
    """One metric: unit, statistics, and what limits their meaning where anything does."""
    entry: dict[str, Any] = {"unit": result.unit} | result.statistics
    if result.lower_bounds:
        entry["lower_bounds"] = result.lower_bounds
    if result.bound_count:
        entry["bound_count"] = result.bound_count
    if too_small := insufficient_for(result):
        entry["insufficient_for"] = too_small
    if result.p99_interval is not None:
        entry["p99_interval"] = list(result.p99_interval)
    if result.relative_error:
        entry["relative_error"] = result.relative_error
    return entry


def write_summary(path: Path, summary: Summary) -> None:
    """Writes the file. Raises: InfrastructureError if it cannot be written."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(document_of(summary)), indent=2) + b"\n")


def load_summary(path: Path) -> Summary:
    """The summary that was written to this file. Raises: InfrastructureError if it cannot be read or is none."""
    try:
        return summary_from(msgspec.json.decode(path.read_bytes()))
    except OSError as error:
        raise InfrastructureError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError) as error:
        raise InfrastructureError(f"{path} is no summary of this version of aiperf: {error}.") from error


def summary_from(document: dict[str, Any]) -> Summary:
    """The summary of such a JSON object. Raises: msgspec.ValidationError if it is none."""
    metrics = {tag: _result(entry) for tag, entry in document.items() if tag in BY_TAG}
    return msgspec.convert(document | {"metrics": metrics}, Summary, from_attributes=True)


def _result(entry: dict[str, Any]) -> MetricResult:
    statistics = {
        name: math.inf if value is None else value
        for name, value in entry.items()
        if name != "unit" and name not in _MARKS
    }
    interval = entry.get("p99_interval")
    return MetricResult(
        unit=entry["unit"],
        statistics=statistics,
        lower_bounds=entry.get("lower_bounds", []),
        bound_count=entry.get("bound_count", 0),
        p99_interval=None if interval is None else (interval[0], math.inf if interval[1] is None else interval[1]),
        relative_error=entry.get("relative_error", 0.0),
    )
