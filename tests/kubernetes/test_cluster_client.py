"""The client of a cluster, and what it finds out, on a real one."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.script_pods import LABELS, RUN_ID, STREAM, fetched, running, until

from aiperf.api.certificate import make_certificate
from aiperf.api.connection import Connections
from aiperf.cli.flags import plan_from_argv
from aiperf.deploy.kubernetes.blueprint import Blueprint, RunSecrets
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.draft import draft_blueprint
from aiperf.deploy.kubernetes.names import names_of
from aiperf.deploy.kubernetes.pod_state import PodState, creation_trouble, pod_state
from aiperf.deploy.kubernetes.port_forward import PortForward
from aiperf.deploy.kubernetes.preflight import failed, preflight, render
from aiperf.deploy.kubernetes.reach import Entrance, open_way
from aiperf.deploy.kubernetes.survey import survey
from aiperf.errors import ClusterError

TLS_SERVER = """
import http.server, os, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = f"{self.path} {self.headers['X-AIPerf-Token']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
for name in ("CERTIFICATE", "KEY"):
    open(f"/tmp/{name}", "w").write(os.environ[name])
context.load_cert_chain("/tmp/CERTIFICATE", "/tmp/KEY")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def blueprint_of(image: str, *words: str, **known: Any) -> Blueprint:
    argv = [
        "-m",
        "llama",
        "-u",
        "https://kubernetes.default.svc",
        "--insecure",
        "--kubernetes",
        "--image",
        image,
        *words,
    ]
    plan, _ = plan_from_argv(argv, {})
    secrets = RunSecrets("token", "{}", "{}", "certificate", "key")
    return draft_blueprint(plan, run_id=RUN_ID, seed=7, secrets=secrets, **known)


# Verbs


async def test_objects_are_made_once_found_and_removed(client: Cluster, namespace: str):
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "it", "namespace": namespace, "labels": LABELS},
        "data": {"a": "1"},
    }
    first, second = await client.create(manifest), await client.create(manifest)
    assert first["metadata"]["uid"] == second["metadata"]["uid"]
    patched = await client.patch("ConfigMap", "it", namespace, {"data": {"a": "2"}})
    assert patched["data"] == {"a": "2"}
    assert [each["metadata"]["name"] for each in await client.list("ConfigMap", namespace, LABELS)] == ["it"]
    assert await client.delete("ConfigMap", "it", namespace)
    assert not await client.delete("ConfigMap", "it", namespace)
    assert await client.get("ConfigMap", "it", namespace) is None


async def test_anothers_object_is_not_taken(client: Cluster, namespace: str):
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it", "namespace": namespace}}
    await client.create(manifest)
    with pytest.raises(ClusterError, match="exists already, and is not of this run"):
        await client.create({**manifest, "metadata": {**manifest["metadata"], "labels": LABELS}})


async def test_a_missing_namespace_is_named(client: Cluster):
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it", "namespace": "no-such"}}
    with pytest.raises(ClusterError, match="there is no namespace no-such"):
        await client.create(manifest)


async def test_pod_security_refuses_in_a_dry_run(client: Cluster, pod: Any):
    manifest = pod("it", "", securityContext={"privileged": True})
    with pytest.raises(ClusterError, match="refuses the pod: PodSecurity"):
        await client.dry_run(manifest)


async def test_logs_are_read_and_followed(client: Cluster, namespace: str, pod: Any):
    script = "import time\nfor i in range(20): print(i); time.sleep(0.1)"
    await client.create(pod("it", script))
    assert await client.pod_log("it", namespace, "worker") in ("", "0\n")

    async def runs() -> bool:
        return bool((await client.get("Pod", "it", namespace) or {})["status"]["phase"] != "Pending")

    await until(runs, "it runs")
    lines = [line async for line in client.follow_log("it", namespace, "worker")]
    assert lines == [str(number) for number in range(20)]
    assert await client.pod_log("it", namespace, "worker", tail_lines=2) == "18\n19\n"


# Rights


@pytest.fixture
def stranger(cluster: Any, namespace: str, tmp_path: Path) -> Path:
    """The kubeconfig of somebody who may do nothing."""
    cluster.kubectl("create", "serviceaccount", "stranger", "--namespace", namespace)
    token = cluster.kubectl("create", "token", "stranger", "--namespace", namespace).stdout.strip()
    view = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--output=json").stdout)
    view["users"][0]["user"] = {"token": token}
    view["contexts"][0]["context"]["namespace"] = namespace
    path = tmp_path / "stranger"
    path.write_text(json.dumps(view))
    return path


async def test_who_may_do_nothing_is_told_what_to_ask_for(cluster: Any, stranger: Path, namespace: str):
    async with Cluster.connect(stranger) as client:
        assert client.namespace == namespace
        with pytest.raises(ClusterError, match=f"you may not list pods in namespace {namespace}") as told:
            await client.list("Pod", namespace)
        assert "docs/kubernetes-rights.md" in told.value.hint
        blueprint = blueprint_of(cluster.image)
        found = await survey(client, blueprint.plan, RUN_ID)
        assert (found.namespace, found.owns_namespace, found.may_create_roles) == (namespace, False, False)
        blueprint = blueprint_of(cluster.image, namespace=namespace, owns_namespace=False)
        checks = await preflight(client, blueprint, probe=True)
        assert failed(checks)
        refused = next(check for check in checks if check.name == "rights")
        assert "create/get/list/watch/patch/delete jobs" in refused.what


async def test_a_token_that_is_none_is_refused_in_words(stranger: Path):
    config = json.loads(stranger.read_text())
    config["users"][0]["user"]["token"] = "wrong"
    stranger.write_text(json.dumps(config))
    with pytest.raises(ClusterError, match="does not accept the kubeconfig's credentials"):
        async with Cluster.connect(stranger) as client:
            await client.list("Pod", "default")


async def test_a_certificate_of_somebody_else_is_refused_in_words(cluster: Any, stranger: Path):
    config = json.loads(stranger.read_text())
    other = make_certificate("other", ["other"]).certificate_pem
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    path = stranger.with_name("ca.pem")
    path.write_text(other)
    config["clusters"][0]["cluster"]["certificate-authority"] = str(path)
    stranger.write_text(json.dumps(config))
    with pytest.raises(ClusterError, match="is not trusted"):
        async with Cluster.connect(stranger):
            pass


# States of pods


async def state_of(client: Cluster, namespace: str, name: str, wanted: Callable[[PodState], bool]) -> PodState:
    async def reached() -> PodState | None:
        there = await client.get("Pod", name, namespace)
        assert there is not None
        state = pod_state(there, await client.events(namespace, name))
        return state if wanted(state) else None

    state: PodState = await until(reached, name)
    return state


async def test_why_pods_do_not_start_is_told(client: Cluster, namespace: str, pod: Any):
    secret = {"secretKeyRef": {"name": "llm", "key": "k"}}
    mount = {"name": "v", "mountPath": "/v"}
    pods = {
        "never": pod("never", "", image="localhost/no-such:1", imagePullPolicy="Never"),
        "name": pod("name", "", image="localhost/UPPER:1"),
        "secret": pod("secret", "", env=[{"name": "K", "valueFrom": secret}]),
        "large": pod("large", "", resources={"requests": {"cpu": "1000"}}),
        "pull": pod("pull", "", image="127.0.0.1:1/no-such:1"),
        "mount": pod("mount", "", volumeMounts=[mount]),
    }
    pods["mount"]["spec"]["volumes"] = [{"name": "v", "configMap": {"name": "gone"}}]
    await asyncio.gather(*(client.create(manifest) for manifest in pods.values()))
    for name, words, fatal in (
        ("never", "image localhost/no-such:1 is not on the node, and is never pulled", True),
        ("name", "'localhost/UPPER:1' is no name of an image", True),
        ("secret", "its container cannot be set up: secret llm is not there", True),
        ("large", "lack", False),
        ("pull", "its registry cannot be reached from the node", False),
        ("mount", "waits for configmap gone, which is not there", False),
    ):

        def told(state: PodState, words: str = words) -> bool:
            return words in state.trouble

        assert (await state_of(client, namespace, name, told)).fatal is fatal


async def test_how_pods_end_is_told(client: Cluster, namespace: str, pod: Any):
    hungry = "data = []\nwhile True: data.append(b'x' * (1 << 20))"
    limits = {"limits": {"memory": "48Mi"}}
    await client.create(pod("hungry", hungry, resources=limits))
    await client.create(pod("fails", "import sys; print('no luck'); sys.exit(3)"))
    await client.create(pod("usage", "import sys; sys.exit(2)"))
    for name, words in (
        ("hungry", "killed: out of memory at its limit of 48Mi; raise --worker-memory"),
        ("fails", "ended with exit code 3: no luck"),
        ("usage", "refused its plan or command line"),
    ):
        state = await state_of(client, namespace, name, lambda state: bool(state.ended))
        assert words in state.ended


async def test_pods_that_a_quota_holds_back_tell_so(client: Cluster, namespace: str, pod: Any):
    await client.create(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "none", "namespace": namespace},
            "spec": {"hard": {"pods": "0"}},
        }
    )
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "held", "namespace": namespace, "labels": LABELS},
        "spec": {"template": {"metadata": {"labels": LABELS}, "spec": pod("x", "")["spec"]}},
    }

    async def counted() -> bool:
        return bool((await client.list("ResourceQuota", namespace))[0].get("status", {}).get("hard"))

    await until(counted, "the quota holds")
    await client.create(job)

    async def told() -> str:
        return creation_trouble(await client.events(namespace, "held"))

    assert "the namespace's quota is used up: none" in await until(told, "the Job tells")


# Preflight


async def test_a_fit_cluster_passes_all_checks_and_keeps_nothing_of_them(client: Cluster, cluster: Any, namespace: str):
    blueprint = blueprint_of(cluster.image, namespace=namespace, owns_namespace=False)
    checks = await preflight(client, blueprint, probe=True)
    assert {check.name: check.ok for check in checks} == dict.fromkeys(
        ("connection", "rights", "namespace", "capacity", "quota", "pods", "objects", "image", "names", "endpoint"),
        True,
    ), render(checks)

    async def gone() -> bool:
        return not await client.list("Job", namespace) and not await client.list("Pod", namespace)

    await until(gone, "the probe is gone")


async def test_what_is_wrong_is_found_before_the_run(client: Cluster, cluster: Any, namespace: str):
    for quota in ({"pods": "1"}, {"requests.cpu": "100m"}):
        manifest = {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": quota}}
        name = next(iter(quota)).replace(".", "-")
        await client.create({**manifest, "metadata": {"name": name, "namespace": namespace}})
    words = ("--worker-cpu", "900", "--node-selector", "pool=none")
    blueprint = blueprint_of("localhost/no-such:1", *words, namespace=namespace, owns_namespace=False)
    checks = await preflight(client, blueprint, probe=True, probe_limit_s=5)
    wrong = {check.name for check in checks if check.ok is False}
    assert {"quota", "capacity", "pods"} <= wrong, render(checks)
    assert all(check.hint for check in checks if check.ok is False), render(checks)


async def test_an_image_that_is_not_there_is_found_by_the_probe(client: Cluster, namespace: str):
    words = ("--image-pull-policy", "Never")
    blueprint = blueprint_of("localhost/no-such:1", *words, namespace=namespace, owns_namespace=False)
    checks = {check.name: check for check in await preflight(client, blueprint, probe=True)}
    assert checks["image"].ok is False
    assert "is not on the node, and is never pulled" in checks["image"].what


async def test_a_namespace_to_be_made_is_only_tried(client: Cluster, cluster: Any):
    blueprint = blueprint_of(cluster.image)
    checks = {check.name: check for check in await preflight(client, blueprint, probe=True)}
    assert checks["namespace"].ok is True
    assert checks["objects"].ok is None
    assert await client.get("Namespace", blueprint.namespace) is None


# Ways to the controller


async def test_a_port_forward_carries_every_byte_on_several_connections(client: Cluster, namespace: str, pod: Any):
    await running(client, pod("server", STREAM))

    async def find() -> str:
        return "server"

    count = 16 << 20
    expected = hashlib.sha256(bytes(range(256)) * (count // 256)).digest()
    async with PortForward(client, namespace, find, 8443) as forward:

        async def listens() -> bool:
            return await asyncio.to_thread(fetched, forward.port, 256) == bytes(range(256))

        await until(listens, "the server listens")
        bodies = await asyncio.gather(*(asyncio.to_thread(fetched, forward.port, count) for _ in range(3)))
        assert [hashlib.sha256(body).digest() for body in bodies] == [expected] * 3
    async with PortForward(client, namespace, find, 9999) as forward:
        assert await asyncio.to_thread(fetched, forward.port, 1) == b""
        assert forward.trouble is not None
        assert "nothing listens on the pod's port 9999" in str(forward.trouble)


@pytest.mark.parametrize("access", ["port-forward", "proxy", "nodeport", "loadbalancer", "direct"])
async def test_the_controller_is_reached_by_tls(client: Cluster, cluster: Any, namespace: str, pod: Any, access: str):
    """The cluster makes no load balancers: the test does what one's controller does, with the pod's own address."""
    if cluster.status is None and access in ("direct", "loadbalancer"):
        pytest.skip("only where pods are reached from here: the harness's cluster")
    certificate = make_certificate(RUN_ID, ["controller"])
    environment = {"CERTIFICATE": certificate.certificate_pem, "KEY": certificate.key_pem}
    labels = {"app.kubernetes.io/component": "controller"}
    await running(
        client,
        pod("server", TLS_SERVER, labels, env=[{"name": key, "value": text} for key, text in environment.items()]),
    )
    await client.create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": names_of(RUN_ID).access_service, "namespace": namespace, "labels": LABELS},
            "spec": {
                "type": "LoadBalancer" if access == "loadbalancer" else "NodePort",
                "selector": {**LABELS, **labels},
                "ports": [{"port": 8443}],
            },
        }
    )
    if access == "loadbalancer":
        there = await client.get("Pod", "server", namespace)
        assert there is not None
        balancer = {"status": {"loadBalancer": {"ingress": [{"ip": there["status"]["podIP"]}]}}}
        service = ("service", names_of(RUN_ID).access_service, "--namespace", namespace)
        cluster.kubectl("patch", *service, "--subresource=status", "--type=merge", f"--patch={json.dumps(balancer)}")
    entrance = Entrance(namespace, RUN_ID, access, token="our-token", certificate_pem=certificate.certificate_pem)
    async with open_way(client, entrance) as address:

        def ask() -> bytes:
            connections = Connections(address)
            try:
                with connections.exchange("GET", "/v1/status") as answer:
                    return answer.body() if answer.status == 200 else b""
            except Exception:  # noqa: BLE001 - not there yet, in whatever way
                return b""
            finally:
                connections.close()

        async def answers() -> bytes:
            return await asyncio.to_thread(ask)

        assert await until(answers, access) == b"/v1/status our-token"


async def test_a_run_without_a_controller_is_told_as_that(client: Cluster, namespace: str, monkeypatch: Any):
    monkeypatch.setattr("aiperf.deploy.kubernetes.reach.POD_PATIENCE_S", 0)
    with pytest.raises(ClusterError, match=f"the controller of run {RUN_ID} does not run"):
        async with open_way(client, Entrance(namespace, RUN_ID, "port-forward", "t", "c")):
            pass
