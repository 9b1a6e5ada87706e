"""`aiperf kube`: commands for benchmarks in a Kubernetes cluster.

Owns: the table of its commands. Does not own: what they do. Each is imported when it is asked for.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from aiperf.errors import ExitCode, PlanError, Problem
from aiperf.plan.spelling import did_you_mean

HELP = ("--help", "-h")


class Command(NamedTuple):
    run: Callable[[Sequence[str]], int]
    summary: str
    """Empty for what pods call, and people do not."""


def list_(argv: Sequence[str]) -> int:
    from aiperf.cli.kube.listing import run

    return run(argv)


def attach(argv: Sequence[str]) -> int:
    from aiperf.cli.kube.attach import run

    return run(argv)


def results(argv: Sequence[str]) -> int:
    from aiperf.cli.kube.results import run

    return run(argv)


def logs(argv: Sequence[str]) -> int:
    from aiperf.cli.kube.logs import run

    return run(argv)


def cancel(argv: Sequence[str]) -> int:
    from aiperf.cli.kube.cancel import run

    return run(argv)


def cleanup(argv: Sequence[str]) -> int:
    from aiperf.cli.kube.cleanup import run

    return run(argv)


def preflight(argv: Sequence[str]) -> int:
    from aiperf.cli.kube.plans import preflight

    return preflight(argv)


def manifests(argv: Sequence[str]) -> int:
    from aiperf.cli.kube.plans import manifests

    return manifests(argv)


def adopt(argv: Sequence[str]) -> int:
    """Called by the controller's pod of a run that nobody started, not by people."""
    from aiperf.cli.kube.adopt import run

    return run(argv)


def probe(argv: Sequence[str]) -> int:
    """Called by a pod of the preflight, not by people."""
    from aiperf.deploy.kubernetes.endpoint_probe import run  # loads no client of a cluster: a pod of it is small

    return run(argv)


COMMANDS = {
    "list": Command(list_, "Shows the runs there are."),
    "attach": Command(attach, "Shows a run that goes on, brings its results here in the end, and removes it."),
    "results": Command(results, "Brings a run's results here, after its end, and leaves it."),
    "logs": Command(logs, "Shows what a run's services write."),
    "cancel": Command(cancel, "Ends a run's load early; its results so far stay."),
    "cleanup": Command(cleanup, "Removes what lost runs have left."),
    "preflight": Command(preflight, "Tells whether a benchmark could run; takes the flags of aiperf profile."),
    "manifests": Command(manifests, "Prints a benchmark's manifests; takes the flags of aiperf profile."),
    "adopt": Command(adopt, ""),
    "probe": Command(probe, ""),
}


def run(argv: Sequence[str]) -> int:
    """Runs one command; returns its exit code."""
    shown = [name for name, command in COMMANDS.items() if command.summary]
    if not argv or argv[0] in HELP:
        print(help_text())
        return ExitCode.DONE if argv else ExitCode.USAGE
    name, *rest = argv
    if name in COMMANDS:
        return COMMANDS[name].run(rest)
    if name.startswith("-"):
        raise PlanError(Problem("a command comes first", name, f"One of {', '.join(shown)}."))
    hint = did_you_mean(name, shown) or f"Commands: {', '.join(shown)}."
    raise PlanError(Problem("there is no such command", f"kube {name}", hint))


def help_text() -> str:
    """What `aiperf kube --help` prints."""
    shown = {name: command.summary for name, command in COMMANDS.items() if command.summary}
    width = max(map(len, shown))
    return "\n".join(
        [
            "aiperf kube looks after benchmarks in a Kubernetes cluster, begun by aiperf profile --kubernetes.",
            "",
            "Usage: aiperf kube COMMAND [RUN] [FLAGS]",
            "",
            "Commands:",
            *(f"  {name:{width}}  {summary}" for name, summary in shown.items()),
            "",
            "All take --namespace, --kubeconfig and --kubecontext. aiperf kube COMMAND --help tells a command's flags.",
        ]
    )
