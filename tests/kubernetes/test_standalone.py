"""`aiperf kube manifests | kubectl apply` on a real cluster: a run that nobody starts."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.kube_words import KEY, PORT, Words, place_with_server, remains

Eventually = Callable[[Callable[[], Any], str], Any]


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    """A namespace with a server, and the Secret with its key."""
    with place_with_server(cluster) as name:
        secret = {"metadata": {"name": "llm", "namespace": name}, "stringData": {"api-key": f"{KEY}\n"}}
        cluster.apply({"apiVersion": "v1", "kind": "Secret", **secret})
        yield name


@pytest.fixture
def words(cluster: Cluster, place: str, tmp_path: Path) -> Iterator[Words]:
    words = Words(cluster, tmp_path, f"http://server.{place}:{PORT}")
    yield words
    words.close()


def printed(words: Words, *flags: str) -> tuple[str, str]:
    """Manifests, and the id of their run."""
    text = words.run("kube", "manifests", *words.benchmark(*flags)).stdout
    (run_id,) = set(re.findall(r"^ +aiperf/run-id: '?(\w+)'?$", text, re.MULTILINE))
    return text, run_id


@pytest.mark.parametrize("topology", ["compact", "per-service"])
def test_a_run_that_is_applied_runs_by_itself_and_is_attached_to(
    cluster: Cluster, place: str, words: Words, topology: str
) -> None:
    flags = ("--request-count", "60", "--namespace", place, "--endpoint-secret", "llm", "--topology", topology)
    text, run_id = printed(words, *flags)
    assert KEY not in text
    cluster.kubectl("apply", "--filename=-", stdin=text)
    attached = words.run("kube", "attach", run_id, "--ui", "simple") if _has_keys(cluster, place, run_id) else None
    assert attached is not None
    (path,) = words.folder.rglob("profile_export_aiperf.json")
    summary = json.loads(path.read_text())
    assert summary["request_count"]["avg"] == 60
    assert "error_request_count" not in summary or not summary["error_request_count"]["avg"]
    for each in words.folder.rglob("*"):
        assert not each.is_file() or KEY not in each.read_text(errors="replace"), each
    assert remains(cluster, place, run_id) == ""


def test_applying_again_does_no_harm(cluster: Cluster, place: str, words: Words) -> None:
    text, run_id = printed(words, "--duration", "600", "--namespace", place, "--endpoint-secret", "llm")
    cluster.kubectl("apply", "--filename=-", stdin=text)
    assert words.wait_for(place, "running") == run_id
    before = _pods(cluster, place, run_id)
    again = cluster.kubectl("apply", "--filename=-", stdin=text).stdout.splitlines()
    assert [line for line in again if not line.endswith(" unchanged")] == []
    assert _pods(cluster, place, run_id) == before
    assert words.runs(place)[run_id]["state"] == "running"
    told = words.run("kube", "cancel", run_id).stdout
    assert told.startswith(f"run {run_id} is over (interrupted")
    words.run("kube", "results", run_id, "--cleanup")
    assert remains(cluster, place, run_id) == ""


def test_a_namespace_of_the_runs_own_is_removed_by_its_controller(
    cluster: Cluster, words: Words, eventually: Eventually
) -> None:
    """Nobody fetches the results: they are served as long as it was said."""
    text, run_id = printed(words, "--request-count", "20", "--ttl-seconds", "1")
    cluster.kubectl("apply", "--filename=-", stdin=text)
    space = f"aiperf-{run_id}"
    eventually(
        lambda: cluster.get("namespace", space)["metadata"].get("annotations", {}).get("aiperf/expires-at"), "dated"
    )
    eventually(lambda: cluster.kubectl("get", "namespace", space, check=False).returncode, "it is gone")


def test_what_was_applied_and_never_adopted_is_cleaned_up(cluster: Cluster, place: str, words: Words) -> None:
    flags = ("--request-count", "20", "--namespace", place, "--endpoint-secret", "llm", "--node-selector", "no=where")
    text, run_id = printed(words, *flags)
    cluster.kubectl("apply", "--filename=-", stdin=text)
    assert remains(cluster, place, run_id)
    words.run("kube", "cleanup", run_id, "--all")
    assert remains(cluster, place, run_id) == ""


def _has_keys(cluster: Cluster, place: str, run_id: str) -> bool:
    cluster.kubectl("-n", place, "wait", "--for=create", f"secret/aiperf-{run_id}-keys", "--timeout=80s")
    return True


def _pods(cluster: Cluster, place: str, run_id: str) -> list[str]:
    pods = cluster.get("pods", "--namespace", place, "--selector", f"aiperf/run-id={run_id}")["items"]
    return sorted(pod["metadata"]["uid"] for pod in pods)
