"""What hurts a cluster, or is done by whoever comes first, on a cluster that is this module's own.

Its API server is killed: every watch and tunnel breaks at once, and the harness starts it again. Those who read from it
all the time (the name server, the service proxy, the controllers) try again after pauses that double with every
failure, up to half a minute: so long a new Service would be unknown to the next test. They are started anew.
"""

import asyncio
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.cluster.places import SPARE_NUMBER
from tests.kubernetes.conftest import SERVER_PORT, Cluster, Server, cluster_of_ones_own, serving, wait_until
from tests.kubernetes.harness import Harness
from tests.kubernetes.kube_words import KEY, PORT, Words, place_with_server
from tests.kubernetes.runs import SMALL
from tests.kubernetes.script_pods import LABELS, STREAM, download_without_end, fetched, running, until

from aiperf.deploy.kubernetes.cluster import Cluster as Client
from aiperf.deploy.kubernetes.endpoint_probe import read_report
from aiperf.deploy.kubernetes.port_forward import PortForward

pytestmark = pytest.mark.xdist_group("own-cluster")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of_ones_own() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[Server]:
    """That of the session is in another cluster."""
    with serving(cluster) as server:
        yield server


@pytest.fixture
def kill_api_server(cluster: Cluster, server: Server) -> Iterator[Callable[[], None]]:
    """Afterwards the cluster is as it was."""

    def kill(*names: str) -> None:
        programs = Harness(SPARE_NUMBER).status()["programs"]
        for pid in [programs[name]["pid"] for name in names]:
            # None: it ended by itself and is about to be started again.
            if pid is not None:
                os.kill(pid, signal.SIGKILL)

    yield lambda: kill("kube-apiserver")
    wait_until(lambda: cluster.kubectl("get", "--raw", "/readyz", check=False).stdout == "ok", "the API server is back")
    kill("coredns", "kube-proxy", "kube-controller-manager", "kube-scheduler")
    wait_until(lambda: new_service_is_known(cluster, server), "a new Service is known")


def new_service_is_known(cluster: Cluster, server: Server) -> bool:
    """Whether a pod reaches a Service made just now, by its name, in the time that runs have for it."""
    name = f"new-{uuid.uuid4().hex[:8]}"
    place = ("--namespace", server.namespace)
    cluster.kubectl(*place, "create", "service", "clusterip", name, f"--tcp={SERVER_PORT}")
    cluster.kubectl(*place, "set", "selector", f"service/{name}", "app=server")
    found = cluster.kubectl(
        *place,
        "exec",
        "server",
        "--container=open",
        "--",
        "aiperf",
        "kube",
        "probe",
        "--url",
        f"http://{name}.{server.namespace}:{SERVER_PORT}",
        check=False,
    )
    cluster.kubectl(*place, "delete", "service", name, "--wait=false")
    return found.returncode == 0 and read_report(found.stdout)[0].failed is None


def test_an_api_server_that_restarts_in_the_middle_costs_nothing(aiperf, server, kill_api_server):
    run = aiperf.start(*SMALL, "--url", server.url, "--concurrency", "2", "--duration", "25").wait_for_load()
    kill_api_server()
    run.finish()
    assert run.exit_code == 0, run.words
    summary = run.summary
    assert summary["credits"]["lost"] == 0
    assert run.reconciles
    assert summary["request_count"]["avg"] == len(run.lines)


def test_results_come_home_although_the_way_is_cut_while_they_do(aiperf, server, kill_api_server):
    """With payloads, so that there is something to fetch."""
    flags = ("--concurrency", "20", "--request-count", "1000", "--isl", "2000", "--export-level", "raw")
    base = ("-m", "m", "--tokenizer", "builtin", "--osl", "1", "--streaming", "--url", server.url)
    run = aiperf.start(*base, *flags)
    run.eventually(lambda: "writing results" in run.stderr, "the load is over")
    kill_api_server()
    run.finish()
    assert run.exit_code == 0, run.words
    assert run.files == sorted(run.summary["artifacts"])
    assert len(run.lines) == 1000


async def test_an_api_server_that_is_killed_costs_nothing_but_a_moment(
    client: Client, namespace: str, pod: Any, kill_api_server: Callable[[], None]
):
    seen: list[tuple[str, str]] = []
    lines: list[str] = []

    async def watch() -> None:
        async for kind, each in client.watch_pods(namespace, LABELS):
            seen.append((kind, each["metadata"]["name"]))

    async def follow() -> None:
        async for line in client.follow_log("ticks", namespace, "worker"):
            lines.append(line)  # noqa: PERF401 (it never ends)

    async def find() -> str:
        return "server"

    await running(client, pod("server", STREAM))
    await running(client, pod("ticks", "import time\nfor i in range(10**6): print(i); time.sleep(0.1)"))
    await client.create(pod("goes", "import time; time.sleep(1000)"))
    works = [asyncio.create_task(watch()), asyncio.create_task(follow())]

    async def known() -> bool:
        return bool(lines) and ("ADDED", "goes") in seen

    try:
        await until(known, "watch and log have begun")
        async with PortForward(client, namespace, find, 8443) as forward:

            async def carries() -> bool:
                return len(await asyncio.to_thread(fetched, forward.port, 1000)) == 1000

            await until(carries, "the port-forward")
            counts: list[int] = []
            download = asyncio.create_task(asyncio.to_thread(download_without_end, forward.port, counts))

            async def flows() -> bool:
                return len(counts) > 10

            await until(flows, "the download has begun")
            kill_api_server()
            with pytest.raises(ConnectionResetError):
                await download
            await client.delete("Pod", "goes", namespace)
            manifest = {"apiVersion": "v1", "kind": "ConfigMap"}
            await client.create({**manifest, "metadata": {"name": "late", "namespace": namespace, "labels": LABELS}})
            await until(carries, "the port-forward once more")

        async def deleted() -> bool:
            return ("DELETED", "goes") in seen

        await until(deleted, "the watch tells what went")
        already = len(lines)

        async def grows() -> bool:
            return len(lines) > already

        await until(grows, "the log goes on")
        assert lines == [str(number) for number in range(len(lines))]
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)


@pytest.fixture
def place(cluster: Cluster) -> Iterator[str]:
    with place_with_server(cluster) as name:
        yield name


@pytest.fixture
def words(cluster: Cluster, place: str, tmp_path: Path) -> Iterator[Words]:
    words = Words(cluster, tmp_path, f"http://server.{place}:{PORT}")
    yield words
    words.close()


def test_what_outlived_its_time_is_swept_by_the_next_benchmark(cluster: Cluster, place: str, words: Words) -> None:
    """Any benchmark does so, as far as it may: this is the only one in this cluster."""
    run_id = uuid.uuid4().hex[:12]
    labels = {"aiperf/run-id": run_id, "app.kubernetes.io/managed-by": "aiperf"}
    for name, expires in ((f"aiperf-{run_id}", "2026-01-01T00:00:00Z"), (f"aiperf-{run_id}-b", "2999-01-01T00:00:00Z")):
        metadata = {"name": name, "labels": labels, "annotations": {"aiperf/expires-at": expires}}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        flags = words.benchmark("--request-count", "10", "--api-key", KEY, "--namespace", place, "--ui", "simple")
        told = words.run("profile", "--kubernetes", *flags).stderr
        assert f"removed what lost runs had left: aiperf-{run_id}\n" in told
        words.run("kube", "cleanup", "-n", f"aiperf-{run_id}", "--all")
        assert cluster.kubectl("get", "namespace", f"aiperf-{run_id}", check=False).returncode != 0
        assert cluster.get("namespace", f"aiperf-{run_id}-b")["status"]["phase"] == "Active"
    finally:
        cluster.kubectl("delete", "namespace", f"aiperf-{run_id}-b", "--wait=false", check=False)
