"""`profile_export_aiperf.csv`: the summary's numbers in two blocks, as AIPerf's readers know them.

Owns: the columns and their order. Does not own: the numbers. Full precision: two decimals would hide microseconds.
What limits a number's meaning stands behind the numbers, where readers by name or by position do not stumble over it.
"""

import csv
import io
import math
from pathlib import Path

from aiperf.metrics.catalog import BY_TAG
from aiperf.metrics.distribution import MetricResult, insufficient_for
from aiperf.metrics.summary import Summary
from aiperf.report.atomic import write_atomic

FILE_SUFFIX = "_aiperf.csv"
STATISTICS = ("avg", "min", "max", "sum", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "std")
RARE = ("p99.9", "p99.99", "count")
"""Behind those: AIPerf has them not. Empty where the sample is too small."""
MARKS = ("lower_bounds", "bound_count", "insufficient_for", "relative_error")
"""As in the JSON export: statistics that may be higher (≥), values that are lower bounds, percentiles for which there
are too few samples, and the error of a sketch's percentiles; names are separated by blanks."""


def csv_text(summary: Summary) -> str:
    """A block of distributions, an empty line, a block of single values. Order: the catalog's."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    distributions = {tag: result for tag, result in summary.metrics.items() if len(result.statistics) > 1}
    writer.writerow(["Metric", *STATISTICS, *RARE, *MARKS])
    for tag, result in distributions.items():
        numbers = (_number(result.statistics.get(name)) for name in (*STATISTICS, *RARE))
        writer.writerow([_name(tag, result.unit), *numbers, *_marks(result)])
    writer.writerow([])
    writer.writerow(["Metric", "Value"])
    for tag, result in summary.metrics.items():
        if tag not in distributions:
            writer.writerow([_name(tag, result.unit), _number(result.statistics["avg"])])
    return text.getvalue()


def _marks(result: MetricResult) -> list[str]:
    return [
        " ".join(result.lower_bounds),
        _number(result.bound_count) if result.bound_count else "",
        " ".join(insufficient_for(result)),
        _number(result.relative_error) if result.relative_error else "",
    ]


def write_csv(path: Path, summary: Summary) -> None:
    """Writes the file. Raises: InfrastructureError if it cannot be written."""
    write_atomic(path, csv_text(summary))


def _name(tag: str, unit: str) -> str:
    """`Request Latency (ms)`; a count of requests bears its unit in its name already."""
    name = BY_TAG[tag].name
    return name if unit == "requests" else f"{name} ({unit})"


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    if math.isinf(value):
        return "inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
