"""`aiperf kube preflight` and `aiperf kube manifests`: what a benchmark would be, by the flags of `aiperf profile`.

Owns: making such a plan one for a cluster. Does not own: checks, manifests, what `aiperf profile` does.
"""

import os
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from aiperf.cli.cluster_run import check_cluster, print_manifests
from aiperf.cli.flags import plan_from_argv
from aiperf.errors import ExitCode
from aiperf.plan.origins import is_given
from aiperf.plan.plan import Plan, settled

PREFLIGHT_HELP = """\
Usage: aiperf kube preflight --model NAME [FLAGS]

Tells what a benchmark would make in the cluster, and whether anything stands in its way: connection, rights,
namespace, quota, capacity, image, and the endpoint as seen from a pod. Nothing stays behind.

It takes the flags of aiperf profile --kubernetes: aiperf profile --help tells them.
Exit code 0: the benchmark could run; 3: something is in the way.
"""

MANIFESTS_HELP = """\
Usage: aiperf kube manifests --model NAME [FLAGS]

Prints a benchmark's manifests as YAML, without a secret in them. It runs by itself when they are applied:
  aiperf kube manifests -m llama-3 -u http://llm.serving:8000 --concurrency 100 --duration 300 | kubectl apply -f -
The run's keys are made in the cluster; the endpoint's come from an existing Secret (--endpoint-secret). Results are
fetched by aiperf kube attach or results within --ttl-seconds, or kept by --results-pvc.

It takes the flags of aiperf profile --kubernetes: aiperf profile --help tells them.
"""


class _Asked(NamedTuple):
    plan: Plan
    run_id: str
    seed: int


def preflight(argv: Sequence[str]) -> int:
    if any(word in ("--help", "-h") for word in argv):
        print(PREFLIGHT_HELP, end="")
        return ExitCode.DONE
    asked = _asked(argv)
    return ExitCode.DONE if check_cluster(asked.plan, asked.run_id, asked.seed) else ExitCode.INFRASTRUCTURE


def manifests(argv: Sequence[str]) -> int:
    if any(word in ("--help", "-h") for word in argv):
        print(MANIFESTS_HELP, end="")
        return ExitCode.DONE
    asked = _asked(argv)
    print_manifests(asked.plan, asked.run_id, asked.seed)
    return ExitCode.DONE


def _asked(argv: Sequence[str]) -> _Asked:
    """Raises: PlanError."""
    plan, origins = plan_from_argv(["--kubernetes", *argv], os.environ)
    plan = settled(plan, drawn_seed=secrets.randbits(31), export_level_given=is_given(origins, "export_level"))
    assert plan.input.random_seed is not None
    return _Asked(plan, secrets.token_hex(6), plan.input.random_seed)
