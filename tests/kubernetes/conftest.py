"""Fixtures for tests on a real cluster: the one that the harness brings up here, or any that a kubeconfig names.

AIPERF_TEST_KUBECONFIG (with AIPERF_TEST_IMAGE, an image that its nodes can get) chooses a cluster of one's own. Without
it the harness's cluster is used if it is up, and brought up for the session if not. If none can be had, tests fail.
Sessions (the workers of pytest-xdist are such) share a cluster; each has a server of its own there.
"""

import contextlib
import functools
import json
import os
import select
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.cluster.places import PROJECT_IMAGE
from tests.kubernetes.harness import NoClusterError, shared, spare
from tests.kubernetes.runs import Launcher, launching
from tests.kubernetes.script_pods import script_pod

from aiperf.deploy.kubernetes.cluster import Cluster as Client

HANG_S = 90
"""Far more than anything here takes on a slow machine."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kubernetes: needs a real cluster")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.kubernetes)
    # Side by side, a test that waits long must not be the last to begin.
    first = {item for item in ours if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item not in first)


class Cluster:
    """A cluster to test with: kubectl, and the name of the project's image there."""

    def __init__(self, kubeconfig: str, image: str, kubectl: str, status: dict[str, Any] | None) -> None:
        self.kubeconfig = kubeconfig
        self.image = image
        self.status = status
        """What the harness tells of its own cluster; None for one that it did not make."""
        self._kubectl = kubectl

    def command(self, *arguments: str) -> list[str]:
        return [self._kubectl, "--kubeconfig", self.kubeconfig, *arguments]

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """A kubectl command that ran to its end."""
        result = subprocess.run(
            self.command(*arguments), check=False, input=stdin, capture_output=True, text=True, timeout=HANG_S
        )
        assert result.returncode == 0 or not check, f"kubectl {' '.join(arguments)}: {result.stdout}{result.stderr}"
        return result

    def get(self, *arguments: str) -> Any:
        """The object or list, as data."""
        return json.loads(self.kubectl("get", *arguments, "--output=json").stdout)

    def add_namespace(self, name: str) -> None:
        """A `restricted` namespace in which pods can be made: not before it has its account."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        self.kubectl("--namespace", name, "wait", "--for=create", "serviceaccount/default", f"--timeout={HANG_S - 10}s")

    def apply(self, *documents: dict[str, Any], check: bool = True) -> subprocess.CompletedProcess[str]:
        text = "\n---\n".join(json.dumps(document) for document in documents)
        return self.kubectl("apply", "--filename=-", stdin=text, check=check)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster that is ready, and that others use as well: a test may look only at what is its own."""
    if kubeconfig := os.environ.get("AIPERF_TEST_KUBECONFIG"):
        image = os.environ.get("AIPERF_TEST_IMAGE")
        assert image, (
            "AIPERF_TEST_KUBECONFIG needs AIPERF_TEST_IMAGE: the project's image as that cluster's nodes get it"
        )
        yield Cluster(kubeconfig, image, os.environ.get("AIPERF_TEST_KUBECTL", "kubectl"), None)
        return
    with contextlib.ExitStack() as held:
        try:
            status = held.enter_context(shared())
        except NoClusterError as error:
            pytest.fail(f"no cluster to test with: {error}", pytrace=False)
        yield Cluster(status["kubeconfig"], PROJECT_IMAGE, status["kubectl"], status)


@contextlib.contextmanager
def cluster_of_ones_own() -> Iterator[Cluster]:
    """For the tests of a module that hurt theirs or must be alone on it. It comes and goes beside the shared one."""
    if os.environ.get("AIPERF_TEST_KUBECONFIG"):
        pytest.skip("a cluster that the harness did not make is not hurt by these tests")
    with spare() as own:
        try:
            status = own.begin()
        except NoClusterError as error:
            pytest.fail(f"no cluster of one's own to test with: {error}", pytrace=False)
        yield Cluster(status["kubeconfig"], PROJECT_IMAGE, status["kubectl"], status)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own that enforces the `restricted` level of Pod Security."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.add_namespace(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SERVER_PORT, LOCKED_PORT = 8000, 8001
SERVER_KEY = "sk-of-the-test-server"


class Server:
    """A server of known latency (TTFT 40 ms, ITL 5 ms) in a pod of a namespace of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.namespace = f"test-server-{uuid.uuid4().hex[:8]}"
        host = f"http://server.{self.namespace}"
        self.url = f"{host}:{SERVER_PORT}"
        self.locked_url = f"{host}:{LOCKED_PORT}"
        """As `url`, for those who have the key."""

    def start(self) -> None:
        name, labels = {"name": "server", "namespace": self.namespace}, {"app": "server"}
        containers = [
            self._container("open", SERVER_PORT),
            self._container("locked", LOCKED_PORT, "--auth-token", SERVER_KEY),
        ]
        pod = {"terminationGracePeriodSeconds": 0, "containers": containers}
        ports = [{"name": each["name"], "port": each["ports"][0]["containerPort"]} for each in containers]
        self._cluster.add_namespace(self.namespace)
        self._cluster.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": name, "spec": {"selector": labels, "ports": ports}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {**name, "labels": labels}, "spec": pod},
        )
        self._cluster.kubectl(
            "--namespace", self.namespace, "wait", "--for=condition=Ready", "pod/server", "--timeout=80s"
        )

    def _container(self, name: str, port: int, *flags: str) -> dict[str, Any]:
        latency = ("--ttft", "40", "--itl", "5")
        return {
            "name": name,
            "image": self._cluster.image,
            "imagePullPolicy": "IfNotPresent",
            "args": ["mock-server", "--host", "0.0.0.0", "--port", str(port), *latency, *flags],
            "ports": [{"containerPort": port}],
            "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
            "securityContext": RESTRICTED,
        }

    @property
    def pod_address(self) -> str:
        return str(self._cluster.get("--namespace", self.namespace, "pod", "server")["status"]["podIP"])

    def stop(self) -> None:
        self._cluster.kubectl("delete", "namespace", self.namespace, "--wait=false", check=False)


@contextlib.contextmanager
def serving(cluster: Cluster) -> Iterator[Server]:
    server = Server(cluster)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def server(cluster: Cluster) -> Iterator[Server]:
    """The server that runs measure."""
    with serving(cluster) as server:
        yield server


@pytest.fixture
def aiperf(cluster: Cluster) -> Iterator[Launcher]:
    """Calls `aiperf profile --kubernetes`; after the test the cluster has nothing of it."""
    with launching(cluster) as launcher:
        yield launcher


@pytest.fixture(scope="module")
def module_aiperf(cluster: Cluster) -> Iterator[Launcher]:
    """As `aiperf`, for runs that the tests of a module share."""
    with launching(cluster) as launcher:
        yield launcher


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    """The product's own client of the cluster."""
    async with Client.connect(Path(cluster.kubeconfig)) as connected:
        yield connected


@pytest.fixture
def pod(cluster: Cluster, namespace: str) -> Callable[..., dict[str, Any]]:
    """A factory of manifests: `pod("name", "script")`, for the test's namespace."""
    return functools.partial(script_pod, cluster.image, namespace)


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of a condition. The limit is a guard against hanging, no measure of speed."""
    deadline_s = time.monotonic() + HANG_S
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"still not: {what}"
        time.sleep(0.2)
    return value


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any], str], Any]:
    return wait_until


@pytest.fixture
def forwarding(cluster: Cluster) -> Iterator[Callable[[dict[str, Any], int], int]]:
    """A factory: `forwarding(pod, 8000)` gives the local port that leads to that port of the pod (an object)."""
    started = []

    def forward(pod: dict[str, Any], port: int) -> int:
        place, target = pod["metadata"]["namespace"], f"pod/{pod['metadata']['name']}"
        command = cluster.command("--namespace", place, "port-forward", target, f":{port}")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], HANG_S)
        line = process.stdout.readline() if readable else ""
        assert "127.0.0.1:" in line, f"port-forward: {line}"
        return int(line.partition("127.0.0.1:")[2].split()[0])

    yield forward
    for process in started:
        process.terminate()
        process.wait(HANG_S)
        process.stdout.close()


@pytest.fixture
def port_forward(forwarding: Callable[[dict[str, Any], int], int], namespace: str) -> Callable[[str, int], int]:
    """A factory: `port_forward("pod/name", 8000)` gives the local port that leads there, in the test's namespace."""

    def forward(target: str, port: int) -> int:
        return forwarding({"metadata": {"namespace": namespace, "name": target.removeprefix("pod/")}}, port)

    return forward
