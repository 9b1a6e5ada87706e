"""What a run's pods ask of a cluster, read from their manifests.

Owns: pod templates → requests and limits as the scheduler and quotas count them. Does not own: sizes (`sizing`), what
there is (`quota`, `capacity`).

Read from the manifests, so that what is checked is what is created.

Source: Kubernetes, "Init Containers" and "Sidecar Containers", resource sharing: a sidecar counts with the containers,
an ordinary init container only where it alone asks for more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.jobs import controller_job, service_jobs
from aiperf.plan.quantities import cpu_text, memory_text, read_quantity

Amounts = Mapping[str, Fraction]
"""Resource (`cpu`, `memory`, …) → how much, in cores, bytes or pieces."""


@dataclass(frozen=True, slots=True)
class PodDemand:
    """Pods that are alike."""

    component: str
    count: int
    requests: Amounts
    limits: Amounts
    """Only what every container of the pod has a limit for."""
    containers: tuple[Mapping[str, Any], ...]
    """As in the template, init containers too."""
    spec: Mapping[str, Any]


def demands(blueprint: Blueprint) -> list[PodDemand]:
    """Of all pods of a run."""
    return [job_demand(job) for job in (controller_job(blueprint), *service_jobs(blueprint))]


def job_demand(job: Mapping[str, Any]) -> PodDemand:
    spec = job["spec"]["template"]["spec"]
    containers = (*spec.get("initContainers", []), *spec["containers"])
    return PodDemand(
        component=spec["containers"][0]["name"],
        count=job["spec"]["parallelism"],
        requests=pod_amounts(spec, "requests"),
        limits=pod_amounts(spec, "limits"),
        containers=containers,
        spec=spec,
    )


def pod_amounts(spec: Mapping[str, Any], kind: str) -> dict[str, Fraction]:
    """`requests` or `limits` of a whole pod."""
    beside = [each for each in spec.get("initContainers", []) if each.get("restartPolicy") == "Always"]
    before = [each for each in spec.get("initContainers", []) if each.get("restartPolicy") != "Always"]
    running = [amounts(each, kind) for each in (*spec["containers"], *beside)]
    # No limit anywhere is no limit at all.
    shared = set.intersection(*map(set, running)) if kind == "limits" else set().union(*running)
    totals = {name: sum((each.get(name, Fraction(0)) for each in running), Fraction(0)) for name in shared}
    for each in before:
        for name, amount in amounts(each, kind).items():
            totals[name] = max(totals.get(name, Fraction(0)), amount)
    for name, text in (spec.get("overhead") or {}).items():
        if name in totals or kind == "requests":
            totals[name] = totals.get(name, Fraction(0)) + read_quantity(str(text))
    return totals


def amounts(container: Mapping[str, Any], kind: str) -> dict[str, Fraction]:
    """Of one container. What has a limit and no request asks for its limit."""
    resources = container.get("resources") or {}
    own = {name: read_quantity(str(text)) for name, text in (resources.get(kind) or {}).items()}
    return {**amounts(container, "limits"), **own} if kind == "requests" else own


def total(demanded: Sequence[PodDemand], kind: str) -> dict[str, Fraction]:
    """Of all pods together."""
    result: dict[str, Fraction] = {}
    for each in demanded:
        for name, amount in getattr(each, kind).items():
            result[name] = result.get(name, Fraction(0)) + amount * each.count
    return result


def amount_text(resource: str, amount: Fraction) -> str:
    """As people write it."""
    if resource.endswith("cpu"):
        return cpu_text(round(amount * 1000))
    if resource.endswith(("memory", "storage")):
        if amount % (1 << 20) == 0 or amount < 1 << 20:
            return memory_text(int(amount))
        return f"{float(amount) / (1 << 20):,.0f}Mi"
    return f"{int(amount):,}" if amount.denominator == 1 else f"{float(amount):g}"
