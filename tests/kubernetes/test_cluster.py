"""The harness's cluster is a real one: it runs, resolves, refuses, forwards, and is gone afterwards."""

import urllib.request
from pathlib import Path

import pytest
from tests.kubernetes.conftest import RESTRICTED

PYTHON = "/opt/aiperf/bin/python3"


def pod_spec(image, *command, **container):
    """A pod that ends, of the project's image, with what the `restricted` level asks for."""
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "it",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "securityContext": RESTRICTED,
                **container,
            }
            | ({"command": list(command)} if command else {})
        ],
    }


def job(name, namespace, spec, **job_spec):
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"app": name}}, "spec": spec}, **job_spec},
    }


def headless_service(name, namespace, port=8000, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": port}], "clusterIP": "None", **spec},
    }


@pytest.fixture
def finished(cluster, namespace, eventually):
    """A factory: the log of a Job that has succeeded."""

    def wait(name):
        def condition():
            status = cluster.get("--namespace", namespace, "job", name)["status"]
            kinds = {kind["type"] for kind in status.get("conditions", []) if kind["status"] == "True"}
            assert "Failed" not in kinds, cluster.kubectl("--namespace", namespace, "logs", f"job/{name}").stdout
            return "Complete" in kinds

        eventually(condition, f"job {name} is complete")
        return cluster.kubectl("--namespace", namespace, "logs", f"job/{name}").stdout

    return wait


@pytest.fixture
def mock_pod(cluster, namespace, eventually):
    """The name of a pod in which the built-in server answers, behind the headless service `mock`."""
    spec = pod_spec(cluster.image, args=["mock-server", "--host", "0.0.0.0", "--port", "8000"])
    spec["hostname"], spec["subdomain"] = "server", "mock"
    spec["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8000}, "periodSeconds": 1}
    metadata = {"name": "mock", "namespace": namespace, "labels": {"app": "mock"}}
    cluster.apply(
        headless_service("mock", namespace),
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
    )
    cluster.kubectl("--namespace", namespace, "wait", "--for=condition=Ready", "pod/mock", "--timeout=60s")
    return "mock"


def test_a_node_is_ready(cluster):
    nodes = cluster.get("nodes")["items"]
    ready = [
        node
        for node in nodes
        if any(kind["type"] == "Ready" and kind["status"] == "True" for kind in node["status"]["conditions"])
    ]
    assert ready


def test_a_job_of_the_projects_image_completes_and_its_log_can_be_read(cluster, namespace, finished):
    cluster.apply(job("version", namespace, pod_spec(cluster.image, args=["--version"])))
    assert finished("version").startswith("aiperf ")


def test_the_image_runs_as_a_user_without_a_name_on_a_root_that_it_cannot_write(cluster, namespace, finished):
    program = "import os; print(os.getuid(), os.access('/', os.W_OK), os.access('/opt/aiperf', os.W_OK))"
    cluster.apply(job("who", namespace, pod_spec(cluster.image, PYTHON, "-c", program)))
    assert finished("who").split() == ["65532", "False", "False"]


def test_the_images_byte_code_is_checked_against_nothing(cluster, namespace, finished):
    """Byte code that looked stale would be compiled again at every start, as it cannot be written there."""
    program = """
import aiperf, numpy
for module in (aiperf, numpy):
    print(open(module.__cached__, "rb").read(8)[4])
"""
    cluster.apply(job("code", namespace, pod_spec(cluster.image, PYTHON, "-c", program)))
    assert finished("code").split() == ["1", "1"]


def test_a_restricted_namespace_refuses_a_pod_that_asks_for_more(cluster, namespace):
    spec = pod_spec(cluster.image)
    spec["containers"][0]["securityContext"] = RESTRICTED | {"allowPrivilegeEscalation": True}
    metadata = {"name": "more", "namespace": namespace}
    refused = cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, check=False)
    assert refused.returncode != 0
    assert 'violates PodSecurity "restricted' in refused.stderr


def test_names_of_a_headless_service_and_of_its_pod_resolve_to_the_pod(cluster, namespace, mock_pod, finished):
    program = """
import socket, time
for name in ("mock", "server.mock"):
    for _ in range(100):
        try:
            print(socket.gethostbyname(name))
            break
        except socket.gaierror:
            time.sleep(0.2)
"""
    cluster.apply(job("resolve", namespace, pod_spec(cluster.image, PYTHON, "-c", program)))
    address = cluster.get("--namespace", namespace, "pod", mock_pod)["status"]["podIP"]
    assert finished("resolve").split() == [address, address]


def test_an_unknown_name_is_unknown_and_no_failure_of_the_server(cluster, namespace, finished):
    program = """
import socket
try:
    socket.gethostbyname("no-such-name.invalid.")
except socket.gaierror as error:
    print(error.errno == socket.EAI_NONAME)
"""
    cluster.apply(job("unknown", namespace, pod_spec(cluster.image, PYTHON, "-c", program)))
    assert finished("unknown").strip() == "True"


def test_a_service_account_without_a_role_is_known_and_refused(cluster, namespace, finished):
    """From inside a pod, with the token that is mounted there, over the service's address."""
    program = f"""
import ssl, time, urllib.error, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
tls = ssl.create_default_context(cafile=folder + "/ca.crt")
url = "https://kubernetes.default.svc/api/v1/namespaces/{namespace}/pods"
request = urllib.request.Request(url, headers={{"Authorization": "Bearer " + open(folder + "/token").read()}})
for _ in range(50):
    try:
        urllib.request.urlopen(request, context=tls, timeout=5)
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode())
        break
    except OSError:
        time.sleep(0.2)
"""
    cluster.apply(job("refused", namespace, pod_spec(cluster.image, PYTHON, "-c", program)))
    log = finished("refused")
    assert log.startswith("403 ")
    assert f"system:serviceaccount:{namespace}:default" in log


def test_indexed_pods_reach_each_other_by_name(cluster, namespace, finished):
    """How workers meet their controller, in small: index 0 listens, index 1 finds it by its own name."""
    program = """
import os, socket, time
if os.environ["JOB_COMPLETION_INDEX"] == "0":
    with socket.create_server(("", 8000)) as server:
        connection, _ = server.accept()
        connection.sendall(b"met")
else:
    for _ in range(100):
        try:
            with socket.create_connection(("pair-0.pair", 8000), timeout=5) as client:
                assert client.recv(3) == b"met"
                break
        except OSError:
            time.sleep(0.2)
    else:
        raise SystemExit("never met")
"""
    spec = pod_spec(cluster.image, PYTHON, "-c", program) | {"subdomain": "pair"}
    pair = job("pair", namespace, spec, completionMode="Indexed", completions=2, parallelism=2)
    cluster.apply(headless_service("pair", namespace, publishNotReadyAddresses=True), pair)
    finished("pair")


def test_a_forwarded_port_leads_to_the_server_in_the_pod(mock_pod, port_forward):
    port = port_forward(f"pod/{mock_pod}", 8000)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=30) as answer:
        assert answer.status == 200


def test_a_cluster_address_leads_to_the_server_in_the_pod(cluster, namespace, mock_pod, finished):
    service = headless_service("front", namespace) | {"spec": {"selector": {"app": "mock"}, "ports": [{"port": 8000}]}}
    cluster.apply(service)
    program = """
import time, urllib.request
for _ in range(100):
    try:
        print(urllib.request.urlopen("http://front:8000/v1/models", timeout=5).status)
        break
    except OSError:
        time.sleep(0.2)
"""
    cluster.apply(job("client", namespace, pod_spec(cluster.image, PYTHON, "-c", program)))
    assert finished("client").strip() == "200"


def test_no_program_of_the_harness_sees_the_machines_own_links(cluster):
    """So none can listen on the outer interface: it is not there for it."""
    if cluster.status is None:
        pytest.skip("a cluster that the harness did not make")
    namespaces = {Path(f"/proc/{program['pid']}/ns/net").readlink() for program in cluster.status["programs"].values()}
    assert len(namespaces) == 1
    assert Path("/proc/self/ns/net").readlink() not in namespaces
    names = [line.partition(":")[0].strip() for line in _links_of(cluster.status["node_pid"])]
    assert all(name in ("lo", "cni0", "aiperf-node") or name.startswith("veth") for name in names), names


def _links_of(pid):
    return Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
