"""What every command of `aiperf kube` that asks a cluster does around its own work.

Owns: the help page, reading the command line, the connection. Does not own: the flags' form (`usage`), the commands.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from aiperf.cli.flags import HELP_FLAGS
from aiperf.cli.kube.usage import Chosen, Usage, read_usage
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.errors import ExitCode

Work = Callable[[Cluster, Chosen], Coroutine[Any, Any, int]]


def run_on_cluster(
    usage: Usage,
    argv: Sequence[str],
    work: Work,
    *,
    environ: Mapping[str, str] = os.environ,
    check: Callable[[Chosen], None] = lambda _: None,
) -> int:
    """The exit code. Raises: AIPerfError; PlanError, also from `check`, before the cluster is asked."""
    if any(word in HELP_FLAGS for word in argv):
        print(usage.page())
        return ExitCode.DONE
    chosen = read_usage(usage, argv, environ)
    check(chosen)
    return asyncio.run(_connected(chosen, work))


async def _connected(chosen: Chosen, work: Work) -> int:
    async with Cluster.connect(chosen.kubeconfig, chosen.kubecontext) as cluster:
        return await work(cluster, chosen)
