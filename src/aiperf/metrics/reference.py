"""`docs/metrics.md`, printed from the catalog: `python -m aiperf.metrics.reference docs/metrics.md [--check]`.

Owns: the page's words and layout. Does not own: what it lists (`catalog`).
"""

import sys
from pathlib import Path

from aiperf.metrics.catalog import METRICS, Kind, Metric, Population
from aiperf.metrics.distribution import EXACT_LIMIT, PERCENTS, RARE_PERCENTS, percentile_name
from aiperf.metrics.partial import SWEEP_LIMIT
from aiperf.metrics.sketch import RELATIVE_ERROR

INTRODUCTION = f"""\
# Metrics

This page is printed from the catalog (`src/aiperf/metrics/catalog.py`). Do not edit it; run `make docs`.

Times of a request: **due** (intended; not in pure closed loop), **dispatched** (the worker takes it up), **sent** (just
before the request is handed to an open connection), **first byte**, **content chunks** (non-empty text, reasoning text
or a tool call), **end** (last content chunk; without streaming the last body byte). Connection set-up is before *sent*.

Requests of the warm-up are in no metric. Failed and cancelled requests are in no latency. Requests cut at the end of
the grace period count at their elapsed time; what that could raise is listed in `lower_bounds` and printed with ≥.

Distributions report avg, min, max, std (of the population), count, sum and {", ".join(f"p{p}" for p in PERCENTS)};
{" and ".join(f"{percentile_name(p)} from {n:,} requests on" for p, n in RARE_PERCENTS.items() if p > 99)}.
Below {RARE_PERCENTS[99.0]} requests p99 is marked ~ and given with its order-statistic interval at 99 % confidence.
Percentiles interpolate linearly between the exact values up to {EXACT_LIMIT:,} requests. Above that, and always for
inter-chunk latency, they come from a sketch and are within {RELATIVE_ERROR:.2%}; `relative_error` says so. Sweep lines
and the steady window are exact up to {SWEEP_LIMIT:,} requests; above that only the average concurrency is given.
"""
HEADINGS = {
    Kind.PER_REQUEST: "Per request",
    Kind.LIST: "Several values per request",
    Kind.ADJUSTED: "With failed requests at +∞",
    Kind.RUN: "Of the run",
    Kind.SWEEP: "In flight, time-weighted",
}


def reference() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for kind, heading in HEADINGS.items():
        rows = [_row(metric) for metric in METRICS if metric.kind is kind and metric.exported]
        parts += [f"\n## {heading}\n\n| tag | unit | formula | better | source |\n|---|---|---|---|---|\n", *rows]
    return "".join(parts)


def _row(metric: Metric) -> str:
    formula = metric.formula.replace("|", "\\|")
    if metric.streaming_only:
        formula += " (streaming)"
    if metric.population is Population.DISPATCHED:
        formula += " (of all requests, whatever became of them)"
    return f"| `{metric.tag}` | {metric.unit} | {formula} | {metric.better.value} | {metric.source} |\n"


def main(arguments: list[str]) -> int:
    """Writes the page, or with `--check` says whether it is up to date. Returns: exit code."""
    path = Path(next(argument for argument in arguments if argument != "--check"))
    if "--check" not in arguments:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reference(), encoding="utf-8")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == reference():
        return 0
    sys.stderr.write(f"{path} is not up to date with the catalog. Run: make docs\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
