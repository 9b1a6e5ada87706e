"""A harness whose tests were killed in the middle leaves nothing, and a new cluster comes up after it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def harness(*arguments):
    command = [sys.executable, "-m", "tests.kubernetes.cluster", *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)


def test_killed_tests_leave_nothing_and_a_new_cluster_comes_up(cluster, namespace, eventually):
    if cluster.status is None or not cluster.is_ours:
        pytest.skip("a cluster that these tests did not bring up is not ended by them")
    forever = {"name": "it", "image": cluster.image, "args": ["mock-server", "--port", "8000"]}
    forever["securityContext"] = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    metadata = {"name": "forever", "namespace": namespace}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [forever]}})
    cluster.kubectl("--namespace", namespace, "wait", "--for=condition=Ready", "pod/forever", "--timeout=60s")
    assert "containerd-shim" in harness("remains").stdout

    cluster.cut()
    eventually(lambda: json.loads(harness("status").stdout) == {"up": False}, "the node has ended by itself")
    eventually(lambda: "process" not in harness("remains").stdout, "all of its processes have ended")
    for _ in range(2):
        assert harness("down").returncode == 0
        assert harness("remains").stdout.strip() == ""

    cluster.again()
    assert cluster.get("nodes")["items"]
