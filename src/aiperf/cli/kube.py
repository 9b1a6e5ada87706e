"""`aiperf kube`: commands for benchmarks in a Kubernetes cluster.

Owns: the table of its commands. Does not own: what they do. Each is imported when it is asked for.
"""

from collections.abc import Callable, Sequence

from aiperf.errors import PlanError, Problem


def probe(argv: Sequence[str]) -> int:
    """Called by a pod of the preflight, not by people."""
    from aiperf.deploy.kubernetes.endpoint_probe import run  # loads no client of a cluster: a pod of it is small

    return run(argv)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"probe": probe}


def run(argv: Sequence[str]) -> int:
    """Runs one command; returns its exit code."""
    if not argv or argv[0] not in COMMANDS:
        raise PlanError(Problem("there is no such command", f"kube {argv[0] if argv else ''}".strip()))
    return COMMANDS[argv[0]](argv[1:])
