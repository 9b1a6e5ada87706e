"""Which runs there are, and which of them may go."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.deploy.kubernetes.api_double import ApiDouble

from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.leftovers import Choice, Leftover, leftovers, sweep_expired_namespaces
from aiperf.deploy.kubernetes.names import run_labels
from aiperf.deploy.kubernetes.runs import RunState, find_run, runs_of
from aiperf.errors import ClusterError

CREATED, NOW = "2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
LATER = datetime(2026, 1, 31, 14, tzinfo=UTC)


def job(run_id: str, component: str, namespace: str = "perf", **more: Any) -> dict[str, Any]:
    labels = {**run_labels(run_id), "app.kubernetes.io/component": component, "aiperf/model": "llama-3"}
    spec = {"parallelism": 4, "activeDeadlineSeconds": 3000, "ttlSecondsAfterFinished": 300}
    name = {"name": f"aiperf-{run_id}-{component}", "namespace": namespace}
    return {"metadata": {**name, "labels": labels, "creationTimestamp": CREATED}, "spec": spec, "status": more}


def ended(kind: str, message: str = "") -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": "True", "message": message}]}


def space(run_id: str, expires: str | None = None) -> dict[str, Any]:
    annotations = {"aiperf/expires-at": expires} if expires else {}
    metadata = {"name": f"aiperf-{run_id}", "labels": run_labels(run_id), "annotations": annotations}
    return {"metadata": metadata}


@pytest.mark.parametrize(
    ("controller", "worker", "state"),
    [
        ({}, {}, RunState.STARTING),
        ({"active": 1}, {"active": 4}, RunState.STARTING),
        ({"active": 1}, {"active": 4, "ready": 1}, RunState.RUNNING),
        ({"active": 1}, {"active": 3, "ready": 3, "succeeded": 1}, RunState.SERVING),
        ({"active": 1}, {"active": 4, "ready": 4, "failed": 1}, RunState.RUNNING),
        ({"active": 1}, ended("Complete"), RunState.SERVING),
        ({"active": 1}, ended("Failed"), RunState.SERVING),
        (ended("Complete"), ended("Complete"), RunState.OVER),
        (ended("Failed", "too long"), {"active": 4, "ready": 4}, RunState.FAILED),
        (None, {"active": 4, "ready": 4}, RunState.LOST),
    ],
)
def test_states(controller: dict[str, Any] | None, worker: dict[str, Any], state: RunState) -> None:
    jobs = [job("0123", "worker", **worker)]
    jobs += [job("0123", "controller", **controller)] if controller is not None else []
    (run,) = runs_of(jobs)
    assert (run.run_id, run.namespace, run.model, run.state) == ("0123", "perf", "llama-3", state)
    assert (run.workers, run.workers_ready) == (4, worker.get("ready", 0))
    assert run.is_expired(LATER)
    assert not run.is_expired(NOW)


def test_jobs_of_other_kinds_are_no_runs() -> None:
    stranger = job("0123", "probe")
    assert runs_of([stranger, {"metadata": {"name": "x", "namespace": "y"}, "spec": {}}]) == []


def test_the_latest_run_comes_first() -> None:
    first, second = job("aa", "controller"), job("bb", "controller")
    second["metadata"]["creationTimestamp"] = "2026-01-31T12:00:01Z"
    assert [run.run_id for run in runs_of([first, second])] == ["bb", "aa"]


def test_a_run_that_never_ends_never_expires() -> None:
    endless = job("aa", "controller")
    del endless["spec"]["activeDeadlineSeconds"]
    assert not runs_of([endless])[0].is_expired(datetime(2036, 1, 1, tzinfo=UTC))


# What may go

RUNNING = [job("aa", "controller"), job("aa", "worker", ready=1)]
SERVING = [job("bb", "controller", "aiperf-bb"), job("bb", "worker", "aiperf-bb", **ended("Complete"))]
OVER = [job("cc", "controller", "aiperf-cc", **ended("Complete"))]
FAILED = [job("dd", "controller", **ended("Failed", "too long"))]
SPACES = [space("bb"), space("cc"), space("ee", "2026-01-31T12:29:59Z"), space("ff", "2026-01-31T12:30:01Z")]


@pytest.mark.parametrize(
    ("choice", "now", "gone"),
    [
        (Choice(), NOW, {"cc", "dd", "ee"}),
        (Choice(expired_only=True), NOW, {"ee"}),
        (Choice(expired_only=True), LATER, {"aa", "bb", "cc", "dd", "ee", "ff"}),
        (Choice(even_running=True), NOW, {"aa", "bb", "cc", "dd", "ee", "ff"}),
        (Choice("cc"), NOW, {"cc"}),
        (Choice("aa"), NOW, set()),
        (Choice("aa", even_running=True), NOW, {"aa"}),
        (Choice("ff"), NOW, {"ff"}),
        (Choice("zz"), NOW, set()),
    ],
)
def test_what_may_go(choice: Choice, now: datetime, gone: set[str]) -> None:
    found = leftovers(runs_of([*RUNNING, *SERVING, *OVER, *FAILED]), SPACES, choice, now)
    assert {each.run_id for each in found} == gone
    assert len(found) == len(gone)


def test_a_namespace_goes_with_the_run_it_was_made_for_and_no_other() -> None:
    found = leftovers(runs_of([*OVER, *FAILED]), SPACES[:2], Choice(), NOW)
    assert sorted(found, key=lambda each: each.run_id) == [
        Leftover("cc", "aiperf-cc", True, "it is over"),
        Leftover("dd", "perf", False, "it is failed (too long)"),
    ]


def test_what_is_being_removed_is_left_to_that() -> None:
    going = space("ee", "2026-01-31T12:00:00Z")
    going["metadata"]["deletionTimestamp"] = "2026-01-31T12:10:00Z"
    assert leftovers([], [going], Choice(even_running=True), NOW) == []


# Asking a cluster


def forbidden(path: str) -> tuple[int, dict[str, Any]]:
    return 403, {"reason": "Forbidden", "message": f"{path} is forbidden"}


async def test_who_may_not_look_everywhere_looks_in_the_context_and_the_runs_own_namespace(tmp_path: Path) -> None:
    places = {"perf": [job("aa", "controller")], "aiperf-bb": [job("bb", "controller", "aiperf-bb")]}

    def answers(method: str, path: str, query: dict[str, str], body: Any, headers: Any) -> Any:
        parts = path.split("/")
        if "namespaces" not in parts or not path.endswith("/jobs"):
            return forbidden(path)
        wanted = query.get("labelSelector", "")
        items = [
            each
            for each in places.get(parts[-2], [])
            if f"run-id={each['metadata']['labels']['aiperf/run-id']}" in wanted or "run-id" not in wanted
        ]
        return 200, {"items": items, "metadata": {"resourceVersion": "1"}}

    async with (
        ApiDouble(answers) as double,
        Cluster.connect(double.kubeconfig(tmp_path / "config", token="t")) as cluster,
    ):
        assert (await find_run(cluster, "aa", None)).namespace == "perf"
        assert (await find_run(cluster, "bb", None)).namespace == "aiperf-bb"
        with pytest.raises(ClusterError, match="there is no run ab in namespace perf") as caught:
            await find_run(cluster, "ab", None)
        assert caught.value.hint.endswith("There are: aa.")


async def test_only_expired_namespaces_of_ours_are_swept(tmp_path: Path) -> None:
    deleted = []
    strange = {"metadata": {"name": "strange", "annotations": {"aiperf/expires-at": "2020-01-01T00:00:00Z"}}}
    odd = space("gg", "next week")

    def answers(method: str, path: str, query: dict[str, str], body: Any, headers: Any) -> Any:
        if method == "DELETE":
            deleted.append((path, body["propagationPolicy"]))
            return 200, {}
        items = [space("ee", "2020-01-01T00:00:00Z"), space("ff", "2999-01-01T00:00:00Z"), space("hh"), odd, strange]
        return 200, {"items": items, "metadata": {"resourceVersion": "1"}}

    async with (
        ApiDouble(answers) as double,
        Cluster.connect(double.kubeconfig(tmp_path / "config", token="t")) as cluster,
    ):
        assert await sweep_expired_namespaces(cluster) == ["aiperf-ee"]
    assert deleted == [("/api/v1/namespaces/aiperf-ee", "Background")]


async def test_who_may_not_list_namespaces_sweeps_nothing(tmp_path: Path) -> None:
    async with (
        ApiDouble(lambda method, path, *_: forbidden(path)) as double,
        Cluster.connect(double.kubeconfig(tmp_path / "config", token="t")) as cluster,
    ):
        assert await sweep_expired_namespaces(cluster) == []
