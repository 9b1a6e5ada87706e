"""What is about to be created, on one screen, before anything is.

Owns: the facts to show and their layout as plain text. Does not own: asking whether to go on, checking (preflight).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aiperf.deploy.costs import WORKER_CHUNK_US
from aiperf.deploy.kubernetes.blueprint import Account, Blueprint
from aiperf.deploy.kubernetes.names import Component
from aiperf.deploy.kubernetes.sizing import Resources, Sizing
from aiperf.plan.quantities import MIB, cpu_text, memory_text


@dataclass(frozen=True, slots=True)
class PlanScreen:
    context: str
    server: str
    namespace: str
    namespace_fate: str
    image: str
    sizing: Sizing
    rights: str
    access: str
    variables: tuple[str, ...] = ()
    """Names of the user's, for the containers."""


_RIGHTS = {
    Account.OWN: "an account and a Role of the run",
    Account.GIVEN: "the account {}",
    Account.NONE: "none (no Role is made; why a worker was lost stays unknown)",
}


def plan_screen(blueprint: Blueprint, *, context: str, server: str, namespace_exists: bool) -> PlanScreen:
    """The facts of a run in a cluster."""
    kept = "exists, is kept" if namespace_exists else "is made, and kept"
    return PlanScreen(
        context=context,
        server=server,
        namespace=blueprint.namespace,
        namespace_fate="is made, and deleted afterwards" if blueprint.owns_namespace else kept,
        image=blueprint.image,
        sizing=blueprint.sizing,
        rights=_RIGHTS[blueprint.account].format(blueprint.cluster.service_account),
        access=blueprint.cluster.api_access,
        variables=blueprint.environment.names,
    )


def screen_text(screen: PlanScreen) -> str:
    """The facts as plain lines."""
    rows = [
        ("Context", f"{screen.context} ({screen.server})"),
        ("Namespace", f"{screen.namespace} ({screen.namespace_fate})"),
        ("Image", screen.image),
        *_sizing_rows(screen.sizing),
        ("Rights", screen.rights),
        ("Access", screen.access),
        *([("Sends", f"{', '.join(screen.variables)} of yours, in the run's Secret")] if screen.variables else []),
    ]
    return _lines(rows)


def sizing_text(sizing: Sizing) -> str:
    """What of the screen follows from the load alone."""
    return _lines(_sizing_rows(sizing))


def _lines(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<10} {text}" for name, text in rows)


def _sizing_rows(sizing: Sizing) -> list[tuple[str, str]]:
    planned = "at the server's pace" if sizing.chunks_per_s is None else f"planned: {sizing.chunks_per_s:,} chunks/s"
    chunks_per_s_max = round(sizing.workers * 1e6 / WORKER_CHUNK_US)  # at a core each
    return [
        ("Pods", f"{sizing.pods:,} ({sizing.topology})"),
        *(
            ("", _component_text(component.value, sizing.count(component), sizing.resources[component]))
            for component in Component
            if component in sizing.resources
        ),
        ("Asks for", f"{cpu_text(sizing.cpu_millicores)} CPU, {_rounded(sizing.memory_bytes)} memory"),
        ("Held to", f"{_rounded(sizing.memory_limit_bytes)} memory"),
        (
            "Load",
            f"up to {sizing.connections_per_worker:,} connections a worker, {planned}; "
            f"workers take {chunks_per_s_max:,} chunks/s at a core each",
        ),
    ]


def _component_text(name: str, count: int, each: Resources) -> str:
    limit = f", at most {cpu_text(each.cpu_limit_millicores)}" if each.cpu_limit_millicores else ""
    memory = f"{memory_text(each.memory_bytes)} memory, at most {memory_text(each.memory_limit_bytes)}"
    return f"{count:,} x {name}: {cpu_text(each.cpu_millicores)} CPU{limit}; {memory}"


def _rounded(size_bytes: int) -> str:
    """In MiB below 10 GiB, in GiB above: a sum of many sizes is seldom whole."""
    mebibytes = size_bytes / MIB
    return f"{mebibytes:,.0f} MiB" if mebibytes < 10 * 1024 else f"{mebibytes / 1024:,.1f} GiB"
