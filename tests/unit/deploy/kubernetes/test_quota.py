"""What a namespace's quotas and limit ranges make of a run."""

from fractions import Fraction
from typing import Any

import pytest

from aiperf.deploy.kubernetes.demand import amount_text, demands, pod_amounts, total
from aiperf.deploy.kubernetes.quota import cpu_limits_demanded, limit_range_problems, quota_problems
from aiperf.plan.quantities import MIB

RUN = ("--concurrency", "30", "--connections-per-worker", "10")
KINDS = ["Job", "Job", "ConfigMap", "Secret", "Service", "NetworkPolicy"]


def quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "team"},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used or {}},
    }


def limits(kind: str = "Container", **item: Any) -> dict[str, Any]:
    return {"metadata": {"name": "range"}, "spec": {"limits": [{"type": kind, **item}]}}


def test_demands_are_those_of_the_sizing(draft: Any):
    blueprint = draft(*RUN)
    demanded = demands(blueprint)
    assert {each.component: each.count for each in demanded} == {"controller": 1, "worker": 3}
    requests = total(demanded, "requests")
    assert requests["cpu"] * 1000 == blueprint.sizing.cpu_millicores
    assert requests["memory"] == blueprint.sizing.memory_bytes
    assert total(demanded, "limits")["memory"] == blueprint.sizing.memory_limit_bytes


def test_an_init_container_counts_only_where_it_asks_for_more():
    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "initContainers": [container("300m"), container("50m", restartPolicy="Always")],
        "containers": [container("100m")],
    }
    assert pod_amounts(spec, "requests") == {"cpu": Fraction(3, 10)}
    spec["initContainers"][0] = container("10m")
    assert pod_amounts(spec, "requests") == {"cpu": Fraction(15, 100)}


def test_a_limit_without_a_request_is_the_request():
    assert pod_amounts({"containers": [{"resources": {"limits": {"memory": "1Mi"}}}]}, "requests") == {"memory": MIB}


@pytest.mark.parametrize(
    ("hard", "used", "what"),
    [
        ({"pods": "10"}, {"pods": "8"}, "quota team: the run needs 4 of pods, and 2 of 10 are left"),
        ({"count/jobs.batch": "1"}, {}, "quota team: the run needs 2 of count/jobs.batch, and 1 of 1 are left"),
        ({"secrets": "3"}, {"secrets": "3"}, "quota team: the run needs 1 of secrets, and 0 of 3 are left"),
        ({"requests.cpu": "1"}, {"requests.cpu": "900m"}, "of requests.cpu, and 100m of 1 are left"),
        ({"limits.cpu": "10"}, {}, "quota team wants limits.cpu stated of each container"),
        ({"requests.ephemeral-storage": "1Gi"}, {}, "wants requests.ephemeral-storage stated"),
    ],
)
def test_a_quota_without_room_is_told_with_what_is_left(draft: Any, hard: Any, used: Any, what: str):
    problems = quota_problems([quota(hard, used)], [], demands(draft(*RUN)), KINDS)
    assert len(problems) == 1
    assert what in problems[0]


@pytest.mark.parametrize(
    "fine",
    [
        quota({"pods": "4", "requests.memory": "10Gi", "services": "1"}),
        quota({"pods": "1"}, scopes=["BestEffort"]),
        quota({"pods": "1"}, scopeSelector={"matchExpressions": [{"scopeName": "PriorityClass"}]}),
        quota({"requests.nvidia.com/gpu": "0"}),
    ],
)
def test_a_quota_with_room_or_for_others_is_none(draft: Any, fine: Any):
    assert quota_problems([fine], [], demands(draft(*RUN)), KINDS) == []


def test_what_a_limit_range_states_need_not_be_stated(draft: Any):
    storage = quota({"requests.ephemeral-storage": "1Gi"})
    default = limits(defaultRequest={"ephemeral-storage": "1Mi"})
    assert quota_problems([storage], [default], demands(draft(*RUN)), KINDS) == []


@pytest.mark.parametrize(
    ("item", "what"),
    [
        ({"max": {"memory": "64Mi"}}, "container controller is held to"),
        ({"min": {"cpu": "1"}}, "container worker asks for 75m of cpu, and must for 1 or more"),
        ({"maxLimitRequestRatio": {"memory": "1"}}, "times the memory that it asks for"),
        ({"default": {"cpu": "50m"}}, "holds container worker to 50m of cpu, and it asks for more"),
        ({"kind": "Pod", "max": {"memory": "64Mi"}}, "a worker pod is held to"),
    ],
)
def test_a_limit_range_names_container_and_bound(draft: Any, item: Any, what: str):
    problems = limit_range_problems([limits(**item)], demands(draft(*RUN)))
    assert any(what in problem for problem in problems), problems


def test_a_wide_limit_range_lets_all_pass(draft: Any):
    wide = limits(max={"cpu": "8", "memory": "16Gi"}, min={"cpu": "1m"})
    assert limit_range_problems([wide], demands(draft(*RUN))) == []


def test_cpu_limits_are_wanted_where_a_quota_counts_them_or_a_range_sets_them():
    assert cpu_limits_demanded([quota({"limits.cpu": "4"})], [])
    assert cpu_limits_demanded([], [limits(default={"cpu": "1"})])
    assert not cpu_limits_demanded([quota({"limits.memory": "4Gi"})], [limits(default={"memory": "1Gi"})])


def test_with_cpu_limits_such_a_quota_is_met(draft: Any):
    demanded = demands(draft(*RUN, cpu_limits_demanded=True))
    assert quota_problems([quota({"limits.cpu": "10"})], [], demanded, KINDS) == []


def test_amounts_are_written_as_people_do():
    assert amount_text("requests.cpu", Fraction(3, 4)) == "750m"
    assert amount_text("memory", Fraction(192 * MIB)) == "192Mi"
    assert amount_text("memory", Fraction(MIB * 10 + 5)) == "10Mi"
    assert amount_text("pods", Fraction(1200)) == "1,200"
