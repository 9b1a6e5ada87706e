"""`aiperf kube list`: the runs there are.

Owns: the table and its JSON. Does not own: finding runs (`deploy.kubernetes.runs`).
"""

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from aiperf.cli.kube.frame import run_on_cluster
from aiperf.cli.kube.usage import CLUSTER_OPTIONS, Chosen, Option, Usage
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.runs import FoundRun, RunState, list_runs
from aiperf.errors import ExitCode, PlanError, Problem

JSON = Option("--json", "Print a JSON array instead of a table.")
ALL_NAMESPACES = Option(
    "--all-namespaces", "Look in all namespaces. This is the default where it is allowed.", "", "-A"
)
USAGE = Usage(
    "list",
    "Shows the runs there are, the latest first.",
    (ALL_NAMESPACES, JSON, *CLUSTER_OPTIONS),
    more="States: starting; running; over: serving results (until they are fetched or the run's --ttl-seconds end); "
    "over; failed; lost (its controller is gone).",
)
DETAIL_MAX = 60


def run(argv: Sequence[str]) -> int:
    # Who looks everywhere means it, whatever the environment sets for other commands.
    everywhere = any(word in ALL_NAMESPACES.spellings for word in argv)
    return run_on_cluster(USAGE, argv, _list, environ={} if everywhere else os.environ, check=_refuse_contradiction)


def _refuse_contradiction(chosen: Chosen) -> None:
    if chosen.has(ALL_NAMESPACES) and chosen.namespace is not None:
        raise PlanError(Problem("excludes --namespace", ALL_NAMESPACES.flag, "Give one of them."))


async def _list(cluster: Cluster, chosen: Chosen) -> int:
    runs, where = await list_runs(cluster, chosen.namespace)
    place = f" in namespace {where}" if where else ""
    if where and chosen.namespace is None:
        print(f"you may not look in all namespaces: these are the runs{place}", file=sys.stderr)
    if chosen.has(JSON):
        print(json_text(runs))
    elif runs:
        print(table(runs, datetime.now(UTC)))
    else:
        print(f"there are no runs{place}", file=sys.stderr)
    return ExitCode.DONE


def table(runs: Sequence[FoundRun], now: datetime) -> str:
    """Columns of text, as wide as they must be."""
    rows = [("RUN", "NAMESPACE", "MODEL", "STATE", "AGE", "WORKERS")]
    rows += [(run.run_id, run.namespace, run.model, _state(run), age(run.created, now), _workers(run)) for run in runs]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _state(run: FoundRun) -> str:
    return f"{run.state.value}: {run.detail[:DETAIL_MAX]}" if run.detail else run.state.value


def _workers(run: FoundRun) -> str:
    """How many are ready, while that means something."""
    if run.state in (RunState.STARTING, RunState.RUNNING):
        return f"{run.workers_ready}/{run.workers}"
    return str(run.workers)


def age(since: datetime, now: datetime) -> str:
    """`45s`, `12m`, `3h`, `2d`."""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, size_s, next_s in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172800)):
        if seconds < next_s:
            return f"{seconds // size_s}{unit}"
    return f"{seconds // 86400}d"


def json_text(runs: Sequence[FoundRun]) -> str:
    return json.dumps(
        [
            {
                "run_id": run.run_id,
                "namespace": run.namespace,
                "model": run.model,
                "state": run.state.name.lower(),
                "detail": run.detail,
                "created": run.created.isoformat(),
                "workers": run.workers,
                "workers_ready": run.workers_ready,
            }
            for run in runs
        ],
        indent=2,
    )
