"""A standalone controller's first step, against an API server that remembers."""

import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.deploy.kubernetes.api_double import ApiDouble

from aiperf.deploy.kubernetes import adoption
from aiperf.deploy.kubernetes.adoption import adopt, adopted_objects, read_printed_run
from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.manifests import Manifest, standalone_manifests
from aiperf.deploy.kubernetes.resources import RESOURCES
from aiperf.errors import ClusterError, InfrastructureError

WORDS = ("--concurrency", "5", "--duration", "60")
OWN = "aiperf-0123456789ab"
JOB = f"{OWN}-controller"
SECRET = f"{OWN}-keys"


class Store:
    """Objects by path. As a server it takes creations, merge patches of metadata, and reading."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self.objects: dict[str, Manifest] = {}
        self.writes: list[str] = []
        for number, manifest in enumerate(manifests):
            resource, metadata = RESOURCES[manifest["kind"]], manifest["metadata"]
            path = resource.path(metadata.get("namespace", ""), metadata["name"])
            self.objects[path] = {**manifest, "metadata": {**metadata, "uid": f"uid-{number}"}}

    def answers(self, method: str, path: str, query: dict[str, str], body: Any, headers: Any) -> Any:
        missing = 404, {"reason": "NotFound", "message": path}
        if method == "GET":
            return (200, self.objects[path]) if path in self.objects else missing
        self.writes.append(f"{method} {path.rpartition('/')[2]}")
        if method == "POST":
            data = {name: base64.b64encode(text.encode()).decode() for name, text in body.pop("stringData").items()}
            self.objects[f"{path}/{body['metadata']['name']}"] = {**body, "data": data}
            return 201, {**body, "data": data}
        if path not in self.objects:
            return missing
        metadata = self.objects[path]["metadata"]
        for key, value in body["metadata"].items():
            metadata[key] = {**metadata.get(key, {}), **value} if isinstance(value, dict) else value
        return 200, self.objects[path]

    def of(self, kind: str) -> list[Manifest]:
        return [each for each in self.objects.values() if each["kind"] == kind]


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Of the ConfigMap and of the run directory."""
    for name in ("config", "run"):
        (tmp_path / name).mkdir()
    return tmp_path / "config", tmp_path / "run"


@pytest.fixture
def connect(tmp_path: Path) -> Callable[..., Any]:
    async def opened(store: Store, namespace: str) -> AsyncIterator[Cluster]:
        async with ApiDouble(store.answers) as double:
            config = double.kubeconfig(tmp_path / "kubeconfig", token="t")
            config.write_text(config.read_text().replace("namespace: perf", f"namespace: {namespace}"))
            async with Cluster.connect(config) as cluster:
                yield cluster

    return opened


def mounted(manifests: list[Manifest], config_dir: Path) -> None:
    (config,) = (manifest for manifest in manifests if manifest["kind"] == "ConfigMap")
    for name, text in config["data"].items():
        (config_dir / name).write_text(text)


def applied(blueprint: Blueprint, config_dir: Path) -> Store:
    manifests = standalone_manifests(blueprint)
    mounted(manifests, config_dir)
    return Store(manifests)


@pytest.mark.parametrize(
    "words",
    [
        WORDS,
        (*WORDS, "--topology", "per-service", "--api-access", "nodeport"),
        (*WORDS, "--namespace", "perf", "--label", "team=a", "--annotation", "note=b"),
        (*WORDS, "--namespace", "perf", "--service-account", "runner"),
    ],
)
async def test_everything_that_was_applied_belongs_to_the_controller(
    words: tuple[str, ...], draft: Any, places: tuple[Path, Path], connect: Any
) -> None:
    blueprint = draft(*words, standalone=True)
    store = applied(blueprint, places[0])
    async for cluster in connect(store, blueprint.namespace):
        await adopt(cluster, read_printed_run(places[0]), places[1], lambda _: None)
    (controller,) = (each for each in store.of("Job") if each["metadata"]["name"] == JOB)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": JOB, "uid": controller["metadata"]["uid"]}
    for each in store.objects.values():
        is_top = each is controller or each["kind"] == "Namespace"
        assert each["metadata"].get("ownerReferences") == (None if is_top else [owner]), each["metadata"]["name"]
    assert "ownerReferences" not in controller["metadata"]


async def test_the_run_directory_is_what_services_read(draft: Any, places: tuple[Path, Path], connect: Any) -> None:
    config_dir, run_dir = places
    blueprint = draft(*WORDS, "--label", "team=a", "--annotation", "note=b", standalone=True)
    store = applied(blueprint, config_dir)
    async for cluster in connect(store, blueprint.namespace):
        await adopt(cluster, read_printed_run(config_dir), run_dir, lambda _: None)
    names = {path.name for path in run_dir.iterdir()}
    assert names == {"layout.json", "plan.json", "token", "wire.json", "tls.crt", "tls.key"}
    assert {path.stat().st_mode & 0o777 for path in run_dir.iterdir()} == {0o600}
    assert (run_dir / "layout.json").read_text() == (config_dir / "layout.json").read_text()
    assert (run_dir / "plan.json").read_text() == (config_dir / "plan.public.json").read_text()
    (secret,) = store.of("Secret")
    assert secret["immutable"] is True
    assert {name: base64.b64decode(text).decode() for name, text in secret["data"].items()} == {
        name: (run_dir / name).read_text() for name in names - {"layout.json", "plan.json"}
    }
    assert secret["metadata"]["labels"]["team"] == "a"
    assert secret["metadata"]["annotations"] == {"note": "b"}


async def test_what_is_done_twice_changes_nothing(draft: Any, places: tuple[Path, Path], connect: Any) -> None:
    blueprint = draft(*WORDS, standalone=True)
    store = applied(blueprint, places[0])
    async for cluster in connect(store, blueprint.namespace):
        await adopt(cluster, read_printed_run(places[0]), places[1], lambda _: None)
        first, token = list(store.writes), (places[1] / "token").read_text()
        await adopt(cluster, read_printed_run(places[0]), places[1], lambda _: None)
        assert store.writes == first
        assert (places[1] / "token").read_text() == token
    assert first[0] == "POST secrets", "pods wait for it"


async def test_a_namespace_of_the_runs_own_is_dated(draft: Any, places: tuple[Path, Path], connect: Any) -> None:
    blueprint = draft(*WORDS, standalone=True)
    store = applied(blueprint, places[0])
    async for cluster in connect(store, blueprint.namespace):
        await adopt(cluster, read_printed_run(places[0]), places[1], lambda _: None)
    (namespace,) = store.of("Namespace")
    assert namespace["metadata"]["annotations"]["aiperf/expires-at"].endswith("Z")
    assert "ownerReferences" not in namespace["metadata"]


async def test_a_secret_of_an_earlier_run_is_not_taken(
    draft: Any, places: tuple[Path, Path], connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "APPLY_PATIENCE_S", 0.0)
    blueprint = draft(*WORDS, "--namespace", "perf", standalone=True)
    store = applied(blueprint, places[0])
    stale = {"name": SECRET, "namespace": "perf", "ownerReferences": [{"uid": "of-an-earlier-job"}]}
    path = RESOURCES["Secret"].path("perf", SECRET)
    store.objects[path] = {"kind": "Secret", "metadata": stale, "data": {}}
    async for cluster in connect(store, "perf"):
        with pytest.raises(ClusterError, match=f"Secret {SECRET} is there and belongs to something else"):
            await adopt(cluster, read_printed_run(places[0]), places[1], lambda _: None)
    assert list(places[1].iterdir()) == []


async def test_manifests_that_were_not_all_applied_are_told(
    draft: Any, places: tuple[Path, Path], connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "APPLY_PATIENCE_S", 0.0)
    blueprint = draft(*WORDS, "--namespace", "perf", standalone=True)
    store = applied(blueprint, places[0])
    del store.objects[RESOURCES["Service"].path("perf", OWN)]
    async for cluster in connect(store, "perf"):
        with pytest.raises(ClusterError, match=f"Service {OWN} is not there"):
            await adopt(cluster, read_printed_run(places[0]), places[1], lambda _: None)


def test_what_is_adopted_is_what_is_printed(draft: Any, places: tuple[Path, Path]) -> None:
    for words in (WORDS, (*WORDS, "--topology", "per-service", "--api-access", "loadbalancer")):
        blueprint = draft(*words, standalone=True)
        printed = standalone_manifests(blueprint)
        mounted(printed, places[0])
        run = read_printed_run(places[0])
        tops = {("Namespace", OWN), ("Job", JOB)}
        assert {*adopted_objects(run.layout, run.plan)} == {
            (each["kind"], each["metadata"]["name"]) for each in printed
        } - tops


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="does not hold a run"):
        read_printed_run(tmp_path)
