"""A harness whose tests were killed in the middle leaves nothing, and a new cluster comes up after it."""

import os
from collections.abc import Iterator

import pytest
from tests.kubernetes.cluster.places import PROJECT_IMAGE
from tests.kubernetes.conftest import RESTRICTED, Cluster
from tests.kubernetes.harness import SpareCluster, spare

pytestmark = pytest.mark.xdist_group("own-cluster")


@pytest.fixture
def own() -> Iterator[SpareCluster]:
    if os.environ.get("AIPERF_TEST_KUBECONFIG"):
        pytest.skip("about the harness itself")
    with spare() as own:
        yield own


def test_killed_tests_leave_nothing_and_a_new_cluster_comes_up(own, eventually):
    status = own.begin()
    cluster = Cluster(status["kubeconfig"], PROJECT_IMAGE, status["kubectl"], status)
    forever = {"name": "it", "image": cluster.image, "args": ["mock-server", "--port", "8000"]}
    spec = {"containers": [forever | {"securityContext": RESTRICTED}]}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "forever"}, "spec": spec})
    cluster.kubectl("wait", "--for=condition=Ready", "pod/forever", "--timeout=60s")
    assert "containerd-shim" in own.harness("remains").stdout

    own.cut()
    eventually(lambda: own.harness.status() == {"up": False}, "the node has ended by itself")
    eventually(lambda: "process" not in own.harness("remains").stdout, "all of its processes have ended")
    for _ in range(2):
        own.harness.down()

    status = own.begin()
    assert Cluster(status["kubeconfig"], PROJECT_IMAGE, status["kubectl"], status).get("nodes")["items"]
