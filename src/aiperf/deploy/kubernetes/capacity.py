"""Whether a run's pods find room on the nodes as they are now.

Owns: nodes, and what their pods ask for → how many of the run's pods fit, and why others do not. Does not own: reading
them (`preflight`), placing pods (the scheduler does, and may do it otherwise).

Each pod is put on the first node that has room, the largest first: sums alone would call a cluster large enough that
has no node for one large pod.

Source: Kubernetes, "Node Allocatable"; "Taints and Tolerations"; `nodeSelector`.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from aiperf.deploy.kubernetes.demand import PodDemand, amount_text, pod_amounts
from aiperf.plan.quantities import read_quantity

Object = Mapping[str, Any]

_AUTOSCALED = ("karpenter.sh/", "cloud.google.com/gke-nodepool", "eks.amazonaws.com/nodegroup", "autoscaler")
"""In labels and annotations of nodes that come and go with what is asked for, or may."""
_COUNTED = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class Fit:
    planned: int
    placed: int
    missing: Mapping[str, int] = field(default_factory=dict)
    """Component → pods without a place."""
    reasons: tuple[str, ...] = ()
    """Why nodes did not take them."""
    may_grow: bool = False
    """The nodes look as if more of them were made when pods wait."""

    @property
    def fits(self) -> bool:
        return self.placed == self.planned


def fit(nodes: Sequence[Object], pods: Sequence[Object] | None, demanded: Sequence[PodDemand]) -> Fit:
    """Where the run's pods would go. `pods`: all of the cluster; None: unknown, so nodes are taken to be empty."""
    rooms = [_Room(node) for node in nodes]
    by_name = {room.name: room for room in rooms}
    for pod in pods or ():
        room = by_name.get(pod["spec"].get("nodeName", ""))
        if room is not None and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            room.take(pod_amounts(pod["spec"], "requests"))
    missing: Counter[str] = Counter()
    reasons: dict[str, set[str]] = defaultdict(set)
    placed = 0
    for each in sorted(demanded, key=_size, reverse=True):
        left = each.count
        for room in rooms:
            obstacle = room.obstacle(each.spec)
            while left and not obstacle and not (obstacle := room.lacks(each.requests)):
                room.take(each.requests)
                left -= 1
            if obstacle and left:
                reasons[obstacle].add(room.name)
            if not left:
                break
        placed += each.count - left
        if left:
            missing[each.component] += left
    most_common = sorted(reasons.items(), key=lambda item: -len(item[1]))[:4]
    texts = tuple(f"{len(names)} of {len(rooms)} nodes: {text}" for text, names in most_common) if missing else ()
    planned = sum(each.count for each in demanded)
    return Fit(planned, placed, dict(missing), texts, any(room.may_grow for room in rooms))


def largest_text(demanded: Sequence[PodDemand], missing: Mapping[str, int]) -> str:
    """The pods without a place, with their sizes."""
    texts = []
    for each in demanded:
        if count := missing.get(each.component):
            cpu, memory = (each.requests.get(name, Fraction(0)) for name in _COUNTED)
            size = f"{amount_text('cpu', cpu)} CPU, {amount_text('memory', memory)}"
            texts.append(f"{count:,} x {each.component} ({size})")
    return "; ".join(texts)


class _Room:
    """What is left of one node."""

    def __init__(self, node: Object) -> None:
        self.name = node["metadata"]["name"]
        self._labels = node["metadata"].get("labels") or {}
        spec = node.get("spec", {})
        self._cordoned = bool(spec.get("unschedulable"))
        self._taints = [each for each in spec.get("taints") or [] if each.get("effect") != "PreferNoSchedule"]
        conditions = {each["type"]: each["status"] for each in node.get("status", {}).get("conditions", [])}
        self._ready = conditions.get("Ready") == "True"
        allocatable = node.get("status", {}).get("allocatable", {})
        self._free = {name: read_quantity(str(allocatable.get(name, "0"))) for name in (*_COUNTED, "pods")}
        marks = [*self._labels, *(node["metadata"].get("annotations") or {})]
        self.may_grow = any(word in mark for mark in marks for word in _AUTOSCALED)

    def take(self, requests: Mapping[str, Fraction]) -> None:
        for name in _COUNTED:
            self._free[name] -= requests.get(name, Fraction(0))
        self._free["pods"] -= 1

    def lacks(self, requests: Mapping[str, Fraction]) -> str:
        """What there is too little of for such a pod; empty if it fits."""
        if self._free["pods"] < 1:
            return "all the pods that they may have"
        short = [name for name in _COUNTED if requests.get(name, Fraction(0)) > self._free[name]]
        return f"too little {' and '.join('CPU' if name == 'cpu' else name for name in short)} free" if short else ""

    def obstacle(self, spec: Object) -> str:
        """Why this node takes no such pod at all; empty if it may."""
        if not self._ready:
            return "not ready"
        if self._cordoned:
            return "take no pods (cordoned)"
        wanted = spec.get("nodeSelector") or {}
        if any(self._labels.get(key) != value for key, value in wanted.items()):
            return "not the labels asked for (--node-selector)"
        for taint in self._taints:
            if not any(_tolerates(each, taint) for each in spec.get("tolerations") or []):
                value = f"={taint['value']}" if taint.get("value") else ""
                return f"taint {taint['key']}{value}:{taint['effect']} (--toleration)"
        return ""


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return bool(toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", ""))


def _size(demand: PodDemand) -> Fraction:
    """A core and four GiB weigh the same, as on ordinary nodes."""
    cpu, memory = (demand.requests.get(name, Fraction(0)) for name in _COUNTED)
    return cpu + memory / (4 << 30)
