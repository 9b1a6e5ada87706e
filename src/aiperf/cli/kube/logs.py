"""`aiperf kube logs`: what a run's services write.

Owns: which hosts are shown, and how. Does not own: reading logs (`deploy.kubernetes.pod_logs`).
"""

import functools
from collections.abc import Sequence

from aiperf.cli.kube.frame import run_on_cluster
from aiperf.cli.kube.usage import CLUSTER_OPTIONS, Chosen, Option, Usage
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.names import run_labels
from aiperf.deploy.kubernetes.pod_logs import Line, follow_lines, is_wanted, past_lines, sources_of
from aiperf.deploy.kubernetes.runs import FoundRun, find_run
from aiperf.errors import ClusterError, ExitCode

COMPONENT = Option("--component", "Only this host (worker-3, controller) or all of its kind (worker).", "NAME", "-c")
FOLLOW = Option("--follow", "Go on with what is written, until the run is over.", "", "-f")
TAIL = Option("--tail", "Only the last lines of each container.", "N", is_count=True)
USAGE = Usage(
    "logs",
    "Shows what a run's services write, each line with its host.",
    (COMPONENT, FOLLOW, TAIL, *CLUSTER_OPTIONS),
    "needed",
)
HOSTS_SHOWN = 20


def run(argv: Sequence[str]) -> int:
    return run_on_cluster(USAGE, argv, _show)


async def _show(cluster: Cluster, chosen: Chosen) -> int:
    component, tail = chosen.text(COMPONENT), chosen.count(TAIL)
    wanted = functools.partial(is_wanted, component=component)
    found = await find_run(cluster, chosen.run_id, chosen.namespace)
    await _refuse_unknown(cluster, found, component, waits=chosen.has(FOLLOW))
    if chosen.has(FOLLOW):
        async for line in follow_lines(cluster, found.namespace, found.run_id, wanted, tail):
            print(_text(line), flush=True)
    else:
        for line in await past_lines(cluster, found.namespace, found.run_id, wanted, tail):
            print(_text(line))
    return ExitCode.DONE


def _text(line: Line) -> str:
    return f"{line.host} | {line.text}"


async def _refuse_unknown(cluster: Cluster, found: FoundRun, component: str | None, *, waits: bool) -> None:
    """Raises: ClusterError if there is no such host, or no pod at all and nobody waits for one."""
    pods = await cluster.list("Pod", found.namespace, run_labels(found.run_id))
    hosts = sorted({source.host for pod in pods for source in sources_of(pod)})
    if any(is_wanted(host, component) for host in hosts) or (not hosts and waits):
        return
    if not hosts:
        raise ClusterError(f"run {found.run_id} has no pods: it is {found.state.value}")
    shown = ", ".join(hosts[:HOSTS_SHOWN]) + (
        f" and {len(hosts) - HOSTS_SHOWN} more" if len(hosts) > HOSTS_SHOWN else ""
    )
    raise ClusterError(f"run {found.run_id} has no host {component}", f"There are: {shown}.")
