"""Whether pods find room on nodes, each by itself."""

from typing import Any

from aiperf.deploy.kubernetes.capacity import fit, largest_text
from aiperf.deploy.kubernetes.demand import demands

RUN = ("--concurrency", "30", "--connections-per-worker", "10")
"""A controller (225m, 272Mi) and three workers (100m with their sidecars)."""


def node(name: str = "n1", cpu: str = "2", memory: str = "4Gi", pods: str = "110", **more: Any) -> dict[str, Any]:
    spec = more.pop("spec", {})
    return {
        "metadata": {"name": name, "labels": more.pop("labels", {})},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": pods},
            "conditions": [{"type": "Ready", "status": more.pop("ready", "True")}],
        },
    }


def pod(cpu: str, where: str = "n1", phase: str = "Running") -> dict[str, Any]:
    container = {"resources": {"requests": {"cpu": cpu}}}
    return {"spec": {"nodeName": where, "containers": [container]}, "status": {"phase": phase}}


def test_a_run_fits_on_an_empty_node(draft: Any):
    found = fit([node()], [], demands(draft(*RUN)))
    assert found.fits
    assert found.planned == found.placed == 4


def test_what_others_ask_for_is_taken_and_what_has_ended_is_not(draft: Any):
    found = fit([node()], [pod("1900m")], demands(draft(*RUN)))
    assert found.missing == {"controller": 1, "worker": 2}
    assert "too little CPU free" in found.reasons[0]
    assert fit([node()], [pod("1900m", phase="Succeeded"), pod("2", where="other")], demands(draft(*RUN))).fits


def test_sums_that_fit_are_no_room_for_one_large_pod(draft: Any):
    small = [node(f"n{index}", cpu="150m") for index in range(8)]
    found = fit(small, [], demands(draft(*RUN)))
    assert found.missing == {"controller": 1}
    assert largest_text(demands(draft(*RUN)), found.missing) == "1 x controller (225m CPU, 272Mi)"


def test_nodes_are_full_of_pods_too(draft: Any):
    found = fit([node(pods="3")], [pod("1m")], demands(draft(*RUN)))
    assert found.placed == 2
    assert "all the pods that they may have" in found.reasons[0]


def test_nodes_that_take_no_such_pods_are_left_out(draft: Any):
    taint = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    for other, reason in (
        (node(ready="Unknown"), "not ready"),
        (node(spec={"unschedulable": True}), "cordoned"),
        (node(spec={"taints": [taint]}), "taint gpu=yes:NoSchedule (--toleration)"),
    ):
        found = fit([other], [], demands(draft(*RUN)))
        assert found.placed == 0
        assert reason in found.reasons[0]


def test_selectors_and_tolerations_are_those_of_the_pods(draft: Any):
    taint = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    chosen = node(labels={"pool": "load"}, spec={"taints": [taint, {"key": "a", "effect": "PreferNoSchedule"}]})
    words = ("--node-selector", "pool=load", "--toleration", "gpu=yes:NoSchedule")
    assert fit([chosen], [], demands(draft(*RUN, *words))).fits
    found = fit([node()], [], demands(draft(*RUN, *words)))
    assert "not the labels asked for (--node-selector)" in found.reasons[0]


def test_a_cluster_that_grows_is_known_by_its_nodes(draft: Any):
    growing = node(cpu="100m", labels={"karpenter.sh/nodepool": "default"})
    assert fit([growing], [], demands(draft(*RUN))).may_grow
    assert not fit([node()], [], demands(draft(*RUN))).may_grow
