"""Checks before a run, against answers of a cluster, and the screen that shows them."""

from typing import Any

import pytest

from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.checks import Check, check_version
from aiperf.deploy.kubernetes.preflight import failed, preflight, render
from aiperf.deploy.kubernetes.survey import survey
from aiperf.errors import ClusterError


class FakeCluster:
    """Answers from dictionaries; what is listed in `denied` may not be done (`list nodes`)."""

    server, namespace = "https://cluster:6443", "mine"

    def __init__(self, denied: tuple[str, ...] = (), version: str = "v1.35.1", **objects: Any) -> None:
        self._denied, self._version, self._objects = denied, version, objects
        self.refused: dict[str, ClusterError] = {}
        self.made: list[Any] = []

    def _allow(self, verb: str, resource: str) -> None:
        if f"{verb} {resource}" in self._denied:
            raise ClusterError(f"you may not {verb} {resource}", "Ask.", reason="Forbidden")

    async def version(self) -> str:
        return self._version

    async def may(self, verb: str, group: str, resource: str, subresource: str = "", *args: str, **kw: str) -> bool:
        return f"{verb} {resource}" not in self._denied

    async def get(self, kind: str, name: str, namespace: str = "") -> Any:
        self._allow("get", f"{kind.lower()}s")
        return next((each for each in self._objects.get(kind, []) if each["metadata"]["name"] == name), None)

    async def list(self, kind: str, namespace: str = "", *args: Any, **kw: Any) -> Any:
        self._allow("list", f"{kind.lower()}s")
        return self._objects.get(kind, [])

    async def dry_run(self, manifest: Any) -> Any:
        self.made.append(manifest["kind"])
        if (error := self.refused.get(manifest["kind"])) is not None:
            raise error
        return []


PERF = {"metadata": {"name": "perf", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}, "status": {}}
NODE = {
    "metadata": {"name": "n1"},
    "spec": {},
    "status": {
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}
HEALTHY = {"Namespace": [PERF], "Node": [NODE]}


@pytest.fixture
def blueprint(draft: Any) -> Blueprint:
    made: Blueprint = draft("--namespace", "perf", owns_namespace=False)
    return made


async def checks_of(cluster: Any, blueprint: Blueprint) -> dict[str, Check]:
    return {check.name: check for check in await preflight(cluster, blueprint, probe=False)}


async def test_a_healthy_cluster_passes_every_check(blueprint: Blueprint):
    cluster = FakeCluster(**HEALTHY)
    checks = await checks_of(cluster, blueprint)
    assert {check.ok for check in checks.values()} == {True}
    assert not failed(list(checks.values()))
    assert list(checks) == ["connection", "rights", "namespace", "capacity", "quota", "pods", "objects"]
    assert {"Job", "ConfigMap", "Secret", "Pod", "Role"} <= set(cluster.made)
    assert "RoleBinding" not in cluster.made
    assert "Pod Security level restricted" in checks["pods"].what


async def test_a_missing_right_fails_and_an_optional_one_tells_what_is_lost(blueprint: Blueprint):
    checks = await preflight(FakeCluster(("create jobs", "list nodes"), **HEALTHY), blueprint, probe=False)
    rights = [check for check in checks if check.name == "rights"]
    assert rights[0].ok is False
    assert rights[0].what == "in namespace perf you may not create jobs"
    assert "docs/kubernetes-rights.md" in rights[0].hint
    assert (rights[1].ok, rights[1].what) == (None, "you may not list nodes: no check whether the pods fit")


async def test_what_may_not_be_looked_at_is_unknown_and_no_failure(blueprint: Blueprint):
    checks = await checks_of(FakeCluster(("list nodes", "list resourcequotas", "get namespaces"), **HEALTHY), blueprint)
    assert (checks["capacity"].ok, checks["quota"].ok, checks["namespace"].ok) == (None, None, None)
    assert not failed(list(checks.values()))


async def test_without_a_look_at_others_pods_capacity_says_so(blueprint: Blueprint):
    checks = await checks_of(FakeCluster(("list pods",), **HEALTHY), blueprint)
    assert "nodes are taken to be empty" in checks["capacity"].hint


async def test_too_small_a_cluster_fails_unless_it_may_grow(draft: Any):
    blueprint = draft("--namespace", "perf", "--worker-cpu", "64", owns_namespace=False)
    check = (await checks_of(FakeCluster(**HEALTHY), blueprint))["capacity"]
    assert check.ok is False
    assert "No room for 1 x worker (64" in check.what
    growing = {**NODE, "metadata": {"name": "n1", "labels": {"karpenter.sh/nodepool": "x"}}}
    check = (await checks_of(FakeCluster(Namespace=[PERF], Node=[growing]), blueprint))["capacity"]
    assert check.ok is None


async def test_what_the_server_refuses_is_told_with_its_reason(blueprint: Blueprint):
    cluster = FakeCluster(**HEALTHY)
    cluster.refused["Role"] = ClusterError("you may not create roles", "Ask.", reason="Forbidden")
    cluster.refused["Pod"] = ClusterError("namespace perf refuses the pod: level", reason="Forbidden")
    checks = await checks_of(cluster, blueprint)
    assert checks["objects"].ok is False
    assert "--service-account" in checks["objects"].hint
    assert checks["pods"].ok is False


async def test_a_webhook_without_dry_runs_leaves_it_unknown(blueprint: Blueprint):
    cluster = FakeCluster(**HEALTHY)
    cluster.refused["Job"] = ClusterError("the webhook x does not support dry run", reason="BadRequest")
    assert (await checks_of(cluster, blueprint))["objects"].ok is None


async def test_a_namespace_of_ours_is_tried_and_the_rest_comes_later(draft: Any):
    checks = await checks_of(FakeCluster(Node=[NODE]), draft())
    assert checks["namespace"].what == "aiperf-0123456789ab can be made"
    assert (checks["quota"].ok, checks["objects"].ok) == (None, None)
    assert "once namespace aiperf-0123456789ab is there" in checks["quota"].what


async def test_a_namespace_that_is_missing_or_going_fails(draft: Any, blueprint: Blueprint):
    assert (await checks_of(FakeCluster(Node=[NODE]), blueprint))["namespace"].ok is False
    going = {**PERF, "status": {"phase": "Terminating"}}
    assert (
        "is being deleted"
        in (await checks_of(FakeCluster(Namespace=[going], Node=[NODE]), blueprint))["namespace"].what
    )


async def test_a_namespace_that_is_going_is_told_once_and_nothing_is_tried_in_it(blueprint: Blueprint):
    cluster = FakeCluster(Node=[NODE], Namespace=[{**PERF, "status": {"phase": "Terminating"}}])
    checks = await preflight(cluster, blueprint, probe=True)
    assert [check.name for check in checks if check.ok is False] == ["namespace"]
    assert cluster.made == []


async def test_a_claim_that_is_missing_fails(draft: Any):
    blueprint = draft("--namespace", "perf", "--results-pvc", "results", owns_namespace=False)
    assert (await checks_of(FakeCluster(**HEALTHY), blueprint))["claims"].ok is False
    claim = {"metadata": {"name": "results"}}
    cluster = FakeCluster(PersistentVolumeClaim=[claim], **HEALTHY)
    assert (await checks_of(cluster, blueprint))["claims"].ok is True


class NeverStarting(FakeCluster):
    """Makes Jobs whose pod never starts."""

    def __init__(self, **objects: Any) -> None:
        super().__init__(**objects)
        self.deleted: list[str] = []

    async def create(self, manifest: Any) -> Any:
        return manifest

    async def delete(self, kind: str, name: str, namespace: str = "") -> bool:
        self.deleted.append(kind)
        return True

    async def events(self, *args: str) -> Any:
        return []


async def test_a_failed_check_does_not_wait_for_the_look_from_inside(draft: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aiperf.deploy.kubernetes.preflight.AFTER_FAILURE_S", 0.01)
    blueprint = draft("--namespace", "perf", "--worker-cpu", "64", owns_namespace=False)
    cluster: Any = NeverStarting(**HEALTHY)
    # Were it waited for, this test would never end.
    checks = await preflight(cluster, blueprint, probe=True, probe_limit_s=float("inf"))
    assert [check.name for check in checks if check.ok is False] == ["capacity"]
    assert (checks[-1].name, checks[-1].ok) == ("endpoint", None)
    assert cluster.deleted == ["Job"]


@pytest.mark.parametrize(
    ("version", "hint"),
    [("v1.36.0", ""), ("v1.30.9-eks-1", "older"), ("v1.99.0", "newer"), ("odd", "none that is known")],
)
async def test_a_version_that_was_not_tried_is_a_note(blueprint: Blueprint, version: str, hint: str):
    cluster: Any = FakeCluster(version=version)
    (check,) = await check_version(cluster, blueprint)
    assert check.ok is True
    assert bool(check.hint) is bool(hint)
    assert hint in check.hint


def test_the_screen_reads_without_colour():
    text = render(
        [
            Check("connection", True, "Kubernetes v1.36 answers"),
            Check("rights", None, "you may not list nodes"),
            Check("quota", False, "too little", "Ask for less."),
            Check("capacity", True, "fits", "Nodes are taken to be empty."),
        ]
    )
    assert text.splitlines() == [
        "[ok]      connection Kubernetes v1.36 answers",
        "[unknown] rights     you may not list nodes",
        "[FAILED]  quota      too little",
        "                     Ask for less.",
        "[ok, but] capacity   fits",
        "                     Nodes are taken to be empty.",
        "1 of 4 checks failed; 1 could not be made.",
    ]


# Survey


async def surveyed(cluster: Any, blueprint: Blueprint, **given: Any) -> Any:
    kubernetes = blueprint.plan.kubernetes.model_copy(update={"kubernetes_namespace": None, **given})
    return await survey(cluster, blueprint.plan.model_copy(update={"kubernetes": kubernetes}), "0123456789ab")


async def test_without_a_name_a_namespace_of_the_run_is_made(blueprint: Blueprint):
    found = await surveyed(FakeCluster(), blueprint)
    assert (found.namespace, found.owns_namespace, found.namespace_exists) == ("aiperf-0123456789ab", True, False)
    assert found.notes == ()


async def test_who_may_not_make_one_gets_the_contexts_with_a_line_saying_so(blueprint: Blueprint):
    found = await surveyed(FakeCluster(("create namespaces",)), blueprint)
    assert (found.namespace, found.owns_namespace, found.namespace_exists) == ("mine", False, True)
    assert found.notes == ("you may not make a namespace: the benchmark runs in the context's, mine",)


async def test_a_given_namespace_is_kept_if_it_exists_and_ours_if_not(blueprint: Blueprint):
    found = await surveyed(FakeCluster(**HEALTHY), blueprint, kubernetes_namespace="perf")
    assert (found.owns_namespace, found.namespace_exists) == (False, True)
    found = await surveyed(FakeCluster(), blueprint, kubernetes_namespace="perf")
    assert (found.owns_namespace, found.namespace_exists) == (True, False)
    assert "does not exist: it is made" in found.notes[0]
    found = await surveyed(FakeCluster(("get namespaces",)), blueprint, kubernetes_namespace="perf")
    assert found.namespace_exists


async def test_roles_and_cpu_limits_are_found_out(blueprint: Blueprint):
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"limits.cpu": "4"}}}
    cluster = FakeCluster(("create roles",), ResourceQuota=[quota], **HEALTHY)
    found = await surveyed(cluster, blueprint, kubernetes_namespace="perf")
    assert (found.may_create_roles, found.cpu_limits_demanded) == (False, True)
    assert len(found.notes) == 2
