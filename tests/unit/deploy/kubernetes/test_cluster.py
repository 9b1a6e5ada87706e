"""A cluster's client on bad days: restarts, expired credentials, refusals, broken watches."""

import json
from pathlib import Path
from typing import Any

import pytest

from aiperf.deploy.kubernetes import cluster as cluster_module
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.errors import ClusterError, ExitCode

from .api_double import ApiDouble, status

MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "m", "namespace": "perf", "labels": {"aiperf/run-id": "r"}},
}


async def connected(double: ApiDouble, tmp_path: Path, **user: str) -> Any:
    return Cluster.connect(double.kubeconfig(tmp_path / "config", **user))


async def test_a_restart_of_the_server_is_waited_out(tmp_path: Path):
    answers = iter([None, status(503, "ServiceUnavailable"), status(403, "Forbidden"), (200, {"kind": "ConfigMap"})])
    async with ApiDouble(lambda *_: next(answers)) as double, await connected(double, tmp_path) as cluster:
        assert await cluster.get("ConfigMap", "m", "perf") == {"kind": "ConfigMap"}
        assert double.requests[1:] == ["GET /api/v1/namespaces/perf/configmaps/m"] * 4


async def test_a_refusal_without_a_restart_is_believed_at_once(tmp_path: Path):
    async with (
        ApiDouble(lambda *_: status(403, "Forbidden", "user cannot get")) as double,
        await connected(double, tmp_path) as cluster,
    ):
        with pytest.raises(ClusterError, match="you may not get configmaps m in namespace perf") as told:
            await cluster.get("ConfigMap", "m", "perf")
        assert len(double.requests) == 2
        assert told.value.exit_code is ExitCode.INFRASTRUCTURE


async def test_credentials_that_ran_out_are_read_anew_once(tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("old")
    seen = []

    def answer(method: str, path: str, query: Any, body: Any, headers: Any) -> Any:
        seen.append(headers["authorization"])
        token.write_text("new")
        return status(401, "Unauthorized") if headers["authorization"] == "Bearer old" else (200, {})

    async with ApiDouble(answer) as double, await connected(double, tmp_path, tokenFile=str(token)) as cluster:
        assert await cluster.get("ConfigMap", "m", "perf") == {}
    assert seen == ["Bearer old", "Bearer new"]


async def test_credentials_that_stay_refused_ask_for_a_login(tmp_path: Path):
    async with (
        ApiDouble(lambda *_: status(401, "Unauthorized")) as double,
        await connected(double, tmp_path, token="t") as cluster,
    ):
        with pytest.raises(ClusterError, match="does not accept the kubeconfig's credentials"):
            await cluster.list("Pod", "perf")
        assert len(double.requests) == 3


@pytest.mark.parametrize(("run_id", "ours"), [("r", True), ("other", False)])
async def test_what_exists_already_is_taken_only_if_it_is_of_the_run(tmp_path: Path, run_id: str, ours: bool):
    there = {**MAP, "metadata": {"uid": "u", "labels": {"aiperf/run-id": run_id}}}

    def answer(method: str, *_: Any) -> Any:
        return (200, there) if method == "GET" else status(409, "AlreadyExists", "it exists")

    async with ApiDouble(answer) as double, await connected(double, tmp_path) as cluster:
        if ours:
            assert (await cluster.create(MAP))["metadata"]["uid"] == "u"
        else:
            with pytest.raises(ClusterError, match="exists already, and is not of this run"):
                await cluster.create(MAP)


async def test_deleting_states_what_becomes_of_dependents_and_takes_absence_for_success(tmp_path: Path):
    bodies = []

    def answer(method: str, path: str, query: Any, body: Any, headers: Any) -> Any:
        bodies.append(body)
        return (200, {}) if len(bodies) == 1 else status(404, "NotFound", 'jobs.batch "j" not found')

    async with ApiDouble(answer) as double, await connected(double, tmp_path) as cluster:
        assert await cluster.delete("Job", "j", "perf") is True
        assert await cluster.delete("Job", "j", "perf") is False
    assert bodies == [{"propagationPolicy": "Background"}] * 2


async def test_a_dry_run_makes_nothing_and_gives_warnings(tmp_path: Path):
    queries = []

    def answer(method: str, path: str, query: Any, body: Any, headers: Any) -> Any:
        queries.append(query)
        return 201, {}, {"Warning": '299 - "would violate PodSecurity"'}

    async with ApiDouble(answer) as double, await connected(double, tmp_path) as cluster:
        assert await cluster.dry_run(MAP) == ["would violate PodSecurity"]
    assert queries == [{"dryRun": "All"}]


async def test_long_lists_are_read_page_by_page(tmp_path: Path):
    def answer(method: str, path: str, query: Any, body: Any, headers: Any) -> Any:
        first = "continue" not in query
        metadata = {"resourceVersion": "5", **({"continue": "more"} if first else {})}
        return 200, {"items": [{"n": 1 if first else 2}], "metadata": metadata}

    async with ApiDouble(answer) as double, await connected(double, tmp_path) as cluster:
        assert await cluster.list("Pod", "perf") == [{"n": 1}, {"n": 2}]


async def test_a_watch_goes_on_after_it_broke(tmp_path: Path):
    def pod(uid: str, version: int) -> Any:
        return {"metadata": {"uid": uid, "resourceVersion": str(version)}}

    lists = iter([[pod("a", 1)], [pod("a", 1), pod("b", 3)], [pod("b", 3)]])
    gone = {"type": "ERROR", "object": {"code": 410}}
    events = iter([None, json.dumps({"type": "MODIFIED", "object": pod("b", 4)}) + "\n" + json.dumps(gone) + "\n"])

    def answer(method: str, path: str, query: Any, *_: Any) -> Any:
        if "watch" in query:
            text = next(events)
            return None if text is None else (200, text)
        return 200, {"items": next(lists), "metadata": {"resourceVersion": "9"}}

    seen = []
    async with ApiDouble(answer) as double, await connected(double, tmp_path) as cluster:
        changes = cluster.watch_pods("perf", {"a": "b"})
        async for kind, each in changes:
            seen.append((kind, each["metadata"]["uid"]))
            if len(seen) == 4:
                break
        await changes.aclose()
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "a")]


async def test_a_log_that_breaks_goes_on_where_it_was(tmp_path: Path):
    texts = iter(
        ["2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z two\n", "2026-01-01T00:00:02Z two\n2026-01-01T00:00:03Z\n"]
    )
    states = iter(["running", "terminated"])
    since = []

    def answer(method: str, path: str, query: Any, *_: Any) -> Any:
        if path.endswith("/log"):
            since.append(query.get("sinceTime"))
            return 200, next(texts)
        return 200, {"status": {"containerStatuses": [{"name": "c", "state": {next(states): {}}}]}}

    async with ApiDouble(answer) as double, await connected(double, tmp_path) as cluster:
        assert [line async for line in cluster.follow_log("p", "perf", "c")] == ["one", "two", ""]
    assert since == [None, "2026-01-01T00:00:02Z"]


async def test_what_is_no_api_is_told_as_that(tmp_path: Path):
    async with (
        ApiDouble(lambda *_: (200, "<html>log in</html>")) as double,
        await connected(double, tmp_path) as cluster,
    ):
        with pytest.raises(ClusterError, match="what answered is no Kubernetes API"):
            await cluster.get("ConfigMap", "m", "perf")


async def test_a_cluster_that_is_not_there_is_told_after_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster_module, "FIRST_PATIENCE_S", 0.1)
    async with ApiDouble(lambda *_: None) as double:
        config = double.kubeconfig(tmp_path / "config")
    with pytest.raises(ClusterError, match="nothing listens at the cluster's address http://127"):
        async with Cluster.connect(config):
            pass


async def test_a_plugin_gives_the_token_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    plugin = tmp_path / "plugin"
    plugin.write_text(
        '#!/bin/sh\necho "{\\"status\\": {\\"token\\": \\"of-$(echo $KUBERNETES_EXEC_INFO | cut -c 3-12)\\"}}"\n'
    )
    plugin.chmod(0o700)
    user: Any = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    seen = []

    def answer(method: str, path: str, query: Any, body: Any, headers: Any) -> Any:
        seen.append(headers["authorization"])
        return 200, {}

    async with ApiDouble(answer) as double, await connected(double, tmp_path, **user) as cluster:
        await cluster.get("ConfigMap", "m", "perf")
    assert seen == ["Bearer of-apiVersion"]
    assert list((tmp_path / "temporary").iterdir()) == []


async def test_a_plugin_that_is_missing_is_named(tmp_path: Path):
    user: Any = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-login", "installHint": "get it"}
    }
    async with ApiDouble(lambda *_: None) as double:
        with pytest.raises(ClusterError, match="no-such-login, which is not installed\n    get it"):
            async with await connected(double, tmp_path, **user):
                pass
