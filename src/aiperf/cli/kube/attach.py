"""`aiperf kube attach`: the place of the command that started a run, taken by another.

Owns: the order of things. Does not own: what an operator does (`cli.operator`), finding the run.
"""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from aiperf.api.contract import Uploadable
from aiperf.cli.kube.frame import run_on_cluster
from aiperf.cli.kube.usage import ACCESS, CLUSTER_OPTIONS, Chosen, Option, Usage
from aiperf.cli.operator import LEFT_ALONE, Operator
from aiperf.cli.outcome import make_artifact_dir, report
from aiperf.deploy.kubernetes.api_line import ApiLine
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.existing import ExistingRun, read_run
from aiperf.deploy.kubernetes.removal import remove_run
from aiperf.deploy.kubernetes.runs import find_run, refuse_when_gone
from aiperf.deploy.kubernetes.service_manager import KubernetesServiceManager
from aiperf.errors import AIPerfError
from aiperf.ui.live import Kind, View, open_view
from aiperf.wire.messages import RunFinished

ARTIFACT_DIR = Option(
    "--artifact-dir",
    "Folder in which the run gets a folder of its own. Default: artifacts.",
    "FOLDER",
    variable="AIPERF_ARTIFACT_DIR",
)
_VIEWS = get_args(Kind)
UI = Option("--ui", "The live view. Default: dashboard on a terminal, else simple.", "|".join(_VIEWS), choices=_VIEWS)
NO_CLEANUP = Option("--no-cleanup", "Leave the run's objects, and its results, until their time is over.")
USAGE = Usage(
    "attach",
    "Shows a run that goes on, brings its results here in the end, and removes it.",
    (ARTIFACT_DIR, UI, NO_CLEANUP, ACCESS, *CLUSTER_OPTIONS),
    "needed",
    "As the command that started it would have. A run that is over and serves its results will do as well. Ctrl-C "
    "once asks for an orderly end, twice cuts what is in flight, three times ends every pod; when the terminal goes "
    "away, the run is left alone.",
)


def run(argv: Sequence[str]) -> int:
    return run_on_cluster(USAGE, argv, _attach)


async def _attach(cluster: Cluster, chosen: Chosen) -> int:
    found = await find_run(cluster, chosen.run_id, chosen.namespace)
    refuse_when_gone(found)
    existing = await read_run(cluster, found, chosen.text(ACCESS))
    artifact_dir = make_artifact_dir(existing.plan, Path(chosen.text(ARTIFACT_DIR) or "artifacts"))
    ui = chosen.text(UI)
    view = open_view(cast("Kind | None", ui), sys.stderr)
    try:
        finished = await _operate(cluster, existing, artifact_dir, view, keeps=chosen.has(NO_CLEANUP))
        if finished.outcome != LEFT_ALONE and not chosen.has(NO_CLEANUP):
            hosted = existing.hosted
            await remove_run(cluster, hosted.run_id, hosted.namespace, hosted.owns_namespace)
    except AIPerfError:
        here = f"--namespace {found.namespace}"
        view.notice(f"nothing was removed; to do so: aiperf kube cleanup {found.run_id} {here}")
        raise
    finally:
        view.close()
        with contextlib.suppress(OSError):  # one that nothing was put into is not left
            artifact_dir.rmdir()
    return report(finished, ui)


async def _operate(
    cluster: Cluster, existing: ExistingRun, artifact_dir: Path, view: View, *, keeps: bool
) -> RunFinished:
    hosted = existing.hosted
    manager = KubernetesServiceManager(cluster, hosted, view.notice)
    line = ApiLine(
        cluster,
        existing.entrance,
        artifact_dir,
        view.notice,
        awaited=[Uploadable(what) for what in hosted.layout.uploads],
        opened=manager.begun,
        keeps=keeps,
    )
    logs = f"aiperf kube logs {hosted.run_id} --namespace {hosted.namespace}"
    return await Operator(hosted.layout, manager, line, view, logs=logs).run()
