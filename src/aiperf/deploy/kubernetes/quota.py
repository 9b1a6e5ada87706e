"""Whether a namespace's ResourceQuotas and LimitRanges let a run's pods in.

Owns: quotas and ranges as the API gives them, and a run's objects → what does not fit; whether CPU limits are wanted of
everyone. Does not own: reading them (`preflight`), what the pods ask for (`demand`).

Source: Kubernetes, "Resource Quotas" (scopes, object counts) and "Limit Ranges".
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from aiperf.deploy.kubernetes.demand import PodDemand, amount_text, amounts, total
from aiperf.deploy.kubernetes.resources import RESOURCES
from aiperf.plan.quantities import read_quantity

Object = Mapping[str, Any]

_FLAGS = {"cpu": "cpu", "memory": "memory"}


def quota_problems(
    quotas: Sequence[Object], ranges: Sequence[Object], demanded: Sequence[PodDemand], kinds: Sequence[str]
) -> list[str]:
    """What a quota leaves no room for. `kinds`: of all objects of the run but pods (`Job`, `Secret`, …)."""
    problems = []
    defaults = _defaults(ranges)
    for quota in quotas:
        if not _applies(quota):
            continue
        name = quota["metadata"]["name"]
        hard = quota.get("status", {}).get("hard") or quota.get("spec", {}).get("hard") or {}
        used = quota.get("status", {}).get("used") or {}
        wanted = _wanted(demanded, kinds)
        for resource, limit_text in sorted(hard.items()):
            if resource not in defaults and _unstated(resource, demanded):
                problems.append(f"quota {name} wants {resource} stated of each container, and aiperf's state none")
                continue
            ours = wanted.get(resource)
            if not ours:
                continue
            limit, taken = read_quantity(str(limit_text)), read_quantity(str(used.get(resource, "0")))
            if taken + ours > limit:
                left = amount_text(resource, max(limit - taken, Fraction(0)))
                problems.append(
                    f"quota {name}: the run needs {amount_text(resource, ours)} of {resource}, and {left} of "
                    f"{amount_text(resource, limit)} are left"
                )
    return problems


def limit_range_problems(ranges: Sequence[Object], demanded: Sequence[PodDemand]) -> list[str]:
    """What a LimitRange does not let pass."""
    problems: list[str] = []
    for limit_range in ranges:
        for item in limit_range.get("spec", {}).get("limits", []):
            name = limit_range["metadata"]["name"]
            for each in demanded:
                if item.get("type") == "Container":
                    for container in each.containers:
                        requests, limits = _with_defaults(item, container)
                        problems += _outside(name, item, f"container {container['name']}", requests, limits)
                elif item.get("type") == "Pod":
                    problems += _outside(name, item, f"a {each.component} pod", each.requests, each.limits)
    return list(dict.fromkeys(problems))


def cpu_limits_demanded(quotas: Sequence[Object], ranges: Sequence[Object]) -> bool:
    """Whether a container without a CPU limit is refused, or gets one that nobody chose."""
    by_quota = any("limits.cpu" in (quota.get("spec", {}).get("hard") or {}) for quota in quotas if _applies(quota))
    items = [item for each in ranges for item in each.get("spec", {}).get("limits", [])]
    by_range = any(
        "cpu" in (item.get("default") or {}) or "cpu" in (item.get("maxLimitRequestRatio") or {})
        for item in items
        if item.get("type") == "Container"
    )
    return by_quota or by_range


def _applies(quota: Object) -> bool:
    """Whether the quota counts pods like ours: with requests, without a deadline or a priority of their own."""
    spec = quota.get("spec", {})
    scopes = set(spec.get("scopes") or [])
    scopes |= {each.get("scopeName") for each in (spec.get("scopeSelector") or {}).get("matchExpressions", [])}
    return not scopes & {"BestEffort", "Terminating", "PriorityClass", "CrossNamespacePodAffinity"}


def _wanted(demanded: Sequence[PodDemand], kinds: Sequence[str]) -> dict[str, Fraction]:
    """Every resource of a quota that this run takes from → how much."""
    pods = Fraction(sum(each.count for each in demanded))
    requests, limits = total(demanded, "requests"), total(demanded, "limits")
    wanted = {"pods": pods, "count/pods": pods}
    wanted |= requests  # `cpu` is an old word for `requests.cpu`
    wanted |= {f"requests.{name}": amount for name, amount in requests.items()}
    wanted |= {f"limits.{name}": amount for name, amount in limits.items()}
    for kind, count in Counter(kinds).items():
        resource = RESOURCES[kind]
        suffix = f".{resource.group}" if resource.group else ""
        wanted[f"count/{resource.plural}{suffix}"] = Fraction(count)
        wanted.setdefault(resource.plural, Fraction(count))
    return wanted


def _unstated(resource: str, demanded: Sequence[PodDemand]) -> bool:
    """A quota on compute refuses pods that do not say how much they take of it."""
    kind, _, name = resource.partition(".")
    if kind not in ("requests", "limits") or name not in ("cpu", "memory", "ephemeral-storage"):
        return False
    return any(name not in amounts(container, kind) for each in demanded for container in each.containers)


def _defaults(ranges: Sequence[Object]) -> set[str]:
    """What a LimitRange states for containers that do not: `requests.cpu`, `limits.memory`, …."""
    items = [item for each in ranges for item in each.get("spec", {}).get("limits", [])]
    limits = {f"limits.{name}" for item in items for name in item.get("default") or {}}
    return limits | {f"requests.{name}" for item in items for name in item.get("defaultRequest") or {}}


def _with_defaults(item: Object, container: Object) -> tuple[dict[str, Fraction], dict[str, Fraction]]:
    defaults = {name: read_quantity(str(text)) for name, text in (item.get("default") or {}).items()}
    limits = {**defaults, **amounts(container, "limits")}
    return amounts(container, "requests"), limits


def _outside(
    name: str, item: Object, who: str, requests: Mapping[str, Fraction], limits: Mapping[str, Fraction]
) -> list[str]:
    problems = []
    for resource in _FLAGS:
        asked, limit = requests.get(resource), limits.get(resource)
        least, most = _bound(item, "min", resource), _bound(item, "max", resource)
        ratio = _bound(item, "maxLimitRequestRatio", resource)
        if least is not None and asked is not None and asked < least:
            problems.append(
                f"LimitRange {name}: {who} asks for {amount_text(resource, asked)} of {resource}, and must for "
                f"{amount_text(resource, least)} or more"
            )
        if most is not None and limit is not None and limit > most:
            problems.append(
                f"LimitRange {name}: {who} is held to {amount_text(resource, limit)} of {resource}, and may have "
                f"{amount_text(resource, most)} at most"
            )
        if most is not None and limit is None and asked is not None and asked > most:
            problems.append(f"LimitRange {name}: {who} asks for more {resource} than {amount_text(resource, most)}")
        if limit is not None and asked is not None and asked > limit:
            problems.append(
                f"LimitRange {name} holds {who} to {amount_text(resource, limit)} of {resource}, and it asks for more"
            )
        if ratio is not None and asked and limit is not None and limit > ratio * asked:
            problems.append(
                f"LimitRange {name}: {who} is held to {float(limit / asked):.1f} times the {resource} that it asks "
                f"for, and may be to {float(ratio):g} times"
            )
    return problems


def _bound(item: Object, kind: str, resource: str) -> Fraction | None:
    text = (item.get(kind) or {}).get(resource)
    return None if text is None else read_quantity(str(text))
