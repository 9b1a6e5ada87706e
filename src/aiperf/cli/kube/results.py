"""`aiperf kube results`: a run's files on this machine.

Owns: waiting for the end, fetching, and leaving the run as it was. Does not own: the transfer (`api.client`).
"""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from aiperf.cli.kube.frame import run_on_cluster
from aiperf.cli.kube.usage import ACCESS, CLUSTER_OPTIONS, Chosen, Option, Usage
from aiperf.cli.outcome import make_artifact_dir
from aiperf.deploy.kubernetes.api_line import ApiLine
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.existing import ExistingRun, read_run
from aiperf.deploy.kubernetes.removal import remove_run
from aiperf.deploy.kubernetes.runs import find_run, refuse_when_gone
from aiperf.errors import ExitCode, InfrastructureError
from aiperf.ui.lines import LinesView
from aiperf.wire.messages import Notice, Progress, RunFinished

OUTPUT = Option(
    "--output",
    "Folder for the files; what an interrupted fetch has left there is used. Default: a new one in artifacts.",
    "FOLDER",
    "-o",
)
CLEANUP = Option("--cleanup", "Remove the run when its results are here.")
USAGE = Usage(
    "results",
    "Brings a run's results here, after its end, and leaves it.",
    (OUTPUT, CLEANUP, ACCESS, *CLUSTER_OPTIONS),
    "needed",
    "A run that is not over is waited for. The results can be fetched again until the run's --ttl-seconds end. The "
    "folder's name is printed. A run with --require-valid whose verdict is invalid makes exit code 5 here, too.",
)


def run(argv: Sequence[str]) -> int:
    return run_on_cluster(USAGE, argv, _fetch)


async def _fetch(cluster: Cluster, chosen: Chosen) -> int:
    found = await find_run(cluster, chosen.run_id, chosen.namespace)
    refuse_when_gone(found)
    existing = await read_run(cluster, found, chosen.text(ACCESS))
    folder = _folder(existing, chosen.text(OUTPUT))
    try:
        finished = await _bring_home(cluster, existing, folder, keeps=not chosen.has(CLEANUP))
    finally:
        with contextlib.suppress(OSError):  # one that nothing was put into is not left
            folder.rmdir()
    if chosen.has(CLEANUP):
        hosted = existing.hosted
        await remove_run(cluster, hosted.run_id, hosted.namespace, hosted.owns_namespace)
    if finished.exit_code != ExitCode.DONE:
        print(f"the run ended so: {finished.reason or finished.outcome}", file=sys.stderr)
    print(folder)
    return ExitCode.NOT_VALID if finished.exit_code == ExitCode.NOT_VALID else ExitCode.DONE


def _folder(existing: ExistingRun, output: str | None) -> Path:
    if output is None:
        return make_artifact_dir(existing.plan, Path("artifacts"))
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfrastructureError(f"cannot create the folder {folder}: {error.strerror}") from error
    return folder


async def _bring_home(cluster: Cluster, existing: ExistingRun, folder: Path, *, keeps: bool) -> RunFinished:
    view = LinesView(sys.stderr)
    line = ApiLine(cluster, existing.entrance, folder, view.notice, keeps=keeps)
    try:
        await line.open()
        while True:
            match await line.receive():
                case Progress() as progress:
                    view.show(progress)
                case Notice(text):
                    view.notice(text)
                case RunFinished() as finished:
                    return await line.bring_home(finished)
    finally:
        view.close()
        await line.close()
