"""`aiperf kube …` on a real cluster: finding, watching, fetching, ending and removing runs."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.kube_words import KEY, LIMIT_S, PORT, Words, place_with_server, remains

LONG = ("--duration", "600", "--ttl-seconds", "120", "--api-key", KEY)
SHORT = ("--request-count", "40", "--ttl-seconds", "300", "--api-key", KEY)
PRESENT = {"profile_export_aiperf.json", "profile_export.jsonl"}


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    with place_with_server(cluster) as name:
        yield name


@pytest.fixture
def words(cluster: Cluster, place: str, tmp_path: Path) -> Iterator[Words]:
    words = Words(cluster, tmp_path, f"http://server.{place}:{PORT}")
    yield words
    words.close()


def summary(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("profile_export_aiperf.json")
    assert {path.name for path in folder.rglob("*")} >= PRESENT
    return json.loads(path.read_text())


def requests(folder: Path) -> float:
    return float(summary(folder)["request_count"]["avg"])


def test_a_run_whose_command_was_killed_is_attached_to_and_removed(cluster: Cluster, place: str, words: Words) -> None:
    starter = words.start("profile", "--kubernetes", *words.benchmark(*LONG), "--namespace", place)
    run_id = words.wait_for(place, "running", starter)
    starter.kill()
    starter.communicate()
    told = words.run("kube", "logs", run_id, "-n", place, "--component", "controller", "--tail", "5").stdout
    assert told
    assert all(line.startswith("controller | ") for line in told.splitlines())
    attached = words.start("kube", "attach", run_id, "--ui", "simple")
    assert attached.stderr is not None
    for line in attached.stderr:
        if " profiling " in line and " 0 done" not in line:
            break
    attached.send_signal(signal.SIGINT)
    out, err = attached.communicate(timeout=LIMIT_S)
    assert attached.returncode == 130, err
    assert "Verdict" in out
    assert "the results so far are in the artifacts" in err
    assert requests(words.folder / "artifacts") > 0
    assert remains(cluster, place, run_id) == ""
    assert cluster.get("namespace", place)["status"]["phase"] == "Active"


def test_results_are_fetched_and_left_until_they_are_not(cluster: Cluster, place: str, words: Words) -> None:
    run_id = words.detached(*SHORT, "--namespace", place)
    fetched = words.run("kube", "results", run_id)
    folder = Path(fetched.stdout.strip())
    assert folder.parent == words.folder / "artifacts"
    assert requests(folder) == 40
    assert words.runs(place)[run_id]["state"] in ("serving", "running")
    refused = words.run("kube", "cleanup", run_id, code=3)
    assert "it is not removed" in refused.stderr
    words.run("kube", "results", run_id, "--output", "again", "--cleanup")
    assert summary(words.folder / "again") == summary(folder)
    assert remains(cluster, place, run_id) == ""
    assert run_id not in words.runs(place)


@pytest.mark.parametrize("how", [(), ("--now",)])
def test_a_cancelled_run_is_over_and_keeps_its_results(
    cluster: Cluster, place: str, words: Words, how: tuple[str, ...]
) -> None:
    run_id = words.detached(*LONG, "--namespace", place)
    assert words.wait_for(place, "running") == run_id
    told = words.run("kube", "cancel", run_id, *how).stdout
    assert told.startswith(f"run {run_id} is over (interrupted")
    assert words.run("kube", "cancel", run_id).stdout.startswith(f"run {run_id} is over already") or not how
    words.run("kube", "attach", run_id, "--artifact-dir", "cut", code=130)
    assert requests(words.folder / "cut") > 0
    assert remains(cluster, place, run_id) == ""


def test_a_run_that_cannot_start_is_removed_when_it_is_cancelled(cluster: Cluster, place: str, words: Words) -> None:
    flags = words.benchmark(*LONG, "--namespace", place, "--node-selector", "no=where", "--skip-preflight")
    starter = words.start("profile", "--kubernetes", *flags)
    run_id = words.wait_for(place, "starting", starter)
    starter.kill()
    starter.communicate()
    assert "had not begun; it was removed" in words.run("kube", "cancel", run_id).stdout
    assert remains(cluster, place, run_id) == ""


def test_logs_are_followed_to_the_end(place: str, words: Words) -> None:
    run_id = words.detached(*SHORT, "--namespace", place)
    following = words.start("kube", "logs", run_id, "--follow")
    words.run("kube", "results", run_id, "--cleanup")
    out, err = following.communicate(timeout=LIMIT_S)
    assert following.returncode == 0, err
    assert {line.partition(" | ")[0] for line in out.splitlines()} == {"controller", "record-processor-0", "worker-0"}


def test_a_run_that_is_over_is_removed_with_the_namespace_that_was_made_for_it(cluster: Cluster, words: Words) -> None:
    """Its controller did not do so: it was killed."""
    run_id = words.detached(*LONG)
    space = f"aiperf-{run_id}"
    told = words.run("kube", "cleanup", run_id, "--dry-run", "--all").stdout
    assert told == f"would remove run {run_id} with namespace {space}: it is starting, and goes all the same\n" or (
        "it is running" in told
    )
    controller = ("--namespace", space, "pod", "--selector", "app.kubernetes.io/component=controller")
    cluster.kubectl("delete", *controller, "--grace-period=0", "--force", "--wait=false")
    assert words.wait_for(space, "failed") == run_id
    assert "nobody serves its results any more" in words.run("kube", "attach", run_id, code=3).stderr
    told = words.run("kube", "cleanup", "-n", space).stdout
    assert told.startswith(f"removed run {run_id} with namespace {space}: it is failed")
    assert cluster.kubectl("get", "namespace", space, check=False).returncode != 0


@pytest.mark.slow
def test_preflight_tells_whether_a_benchmark_could_run(cluster: Cluster, place: str, words: Words) -> None:
    good = words.run("kube", "preflight", *words.benchmark(*SHORT, "--namespace", place))
    assert "Nothing stands in the way" in good.stdout
    flags = words.benchmark(*SHORT, "--namespace", place, "--node-selector", "no=where")
    bad = words.run("kube", "preflight", *flags, code=3)
    assert re.search(r"\[FAILED\] +capacity", bad.stdout)
    assert remains(cluster, place, "") == ""


def test_a_run_that_is_unknown_is_told_with_those_there_are(place: str, words: Words) -> None:
    told = words.run("kube", "attach", "000000000000", "-n", place, code=3).stderr
    assert f"there is no run 000000000000 in namespace {place}" in told
    assert "There is no run at all" in told or re.search("There are: [0-9a-f]{12}", told)
