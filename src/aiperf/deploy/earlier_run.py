"""The summary of an earlier run → how CPU times of such a machine differ from the table of costs.

Owns: reading it, and which of its ratios tell something. Does not own: the table (`costs`), the comparison that the run
made of itself (`aiperf.metrics.promise_kept`).
"""

from pathlib import Path

from aiperf.deploy.costs import CpuFactors
from aiperf.errors import InfrastructureError, PlanError, Problem
from aiperf.report.summary_json import load_summary

FLAG = "--costs-from"
TELLING_CPU_S = 1.0
"""Of a kind of process: what needed less is mostly its beginning and end."""


def cpu_factors(path: Path) -> CpuFactors:
    """Of each kind of process, what it needed over what it should have; as before where it needed too little to tell.

    Raises: PlanError if the file is no summary, or tells of no kind.
    """
    try:
        kept = load_summary(path).promise
    except InfrastructureError as error:
        raise PlanError(Problem(str(error), FLAG, "It is the profile_export_aiperf.json of a run.")) from error
    rows = {} if kept is None else kept.rows
    before = {} if kept is None else kept.cpu_factors
    found: dict[str, float] = {}
    for kind in CpuFactors._fields:
        row = rows.get(f"{kind}_cpu_s")
        if row is not None and row.ratio is not None and row.ratio > 0 and (row.reached or 0.0) >= TELLING_CPU_S:
            found[kind] = row.ratio * before.get(kind, 1.0)
    if not found:
        hint = "Take a run of some thousand requests, or of half a minute under load."
        raise PlanError(Problem(f"no process of the run in {path} needed a CPU second: it tells nothing", FLAG, hint))
    return CpuFactors(*(found.get(kind, before.get(kind, 1.0)) for kind in CpuFactors._fields))
