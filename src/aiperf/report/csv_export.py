"""`profile_export_aiperf.csv`: the summary's numbers in two blocks, as AIPerf's readers know them.

Owns: the columns and their order. Does not own: the numbers. Full precision: two decimals would hide microseconds.
"""

import csv
import io
import math
from pathlib import Path

from aiperf.metrics.catalog import BY_TAG
from aiperf.metrics.summary import Summary
from aiperf.report.atomic import write_atomic

FILE_SUFFIX = "_aiperf.csv"
STATISTICS = ("avg", "min", "max", "sum", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "std")


def csv_text(summary: Summary) -> str:
    """A block of distributions, an empty line, a block of single values. Order: the catalog's."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    distributions = {tag: result for tag, result in summary.metrics.items() if len(result.statistics) > 1}
    writer.writerow(["Metric", *STATISTICS])
    for tag, result in distributions.items():
        writer.writerow([_name(tag, result.unit), *(_number(result.statistics.get(name)) for name in STATISTICS)])
    writer.writerow([])
    writer.writerow(["Metric", "Value"])
    for tag, result in summary.metrics.items():
        if tag not in distributions:
            writer.writerow([_name(tag, result.unit), _number(result.statistics["avg"])])
    return text.getvalue()


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
