"""`aiperf kube adopt`: the first step of a controller that nobody started. Called in its pod, not by people.

Owns: reading its two flags. Does not own: adoption (`deploy.kubernetes.adoption`).
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from aiperf.deploy.kubernetes.adoption import adopt, read_printed_run
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.errors import ExitCode


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="aiperf kube adopt", description="Makes a printed run whole.")
    parser.add_argument("--config-dir", required=True, type=Path, help="the mounted ConfigMap")
    parser.add_argument("--run-dir", required=True, type=Path, help="what the controller's container reads")
    options = parser.parse_args(argv)
    asyncio.run(_adopt(options.config_dir, options.run_dir))
    return ExitCode.DONE


async def _adopt(config_dir: Path, run_dir: Path) -> None:
    printed = read_printed_run(config_dir)
    async with Cluster.connect() as cluster:
        await adopt(cluster, printed, run_dir, lambda text: print(text, flush=True))
