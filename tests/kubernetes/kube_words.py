"""`aiperf` against the cluster of the tests, and a server in it to measure. For tests of `aiperf kube`."""

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.kubernetes.conftest import Cluster

LIMIT_S = 180
"""A guard against hanging."""
KEY = "sesame-42"
PORT = 8000


class Words:
    """Calls `aiperf` as a shell would, in a folder of the test's."""

    def __init__(self, cluster: Cluster, folder: Path, url: str) -> None:
        self.folder = folder
        self._flags = ["--image", cluster.image, "-m", "demo", "-u", url, "--streaming", "--concurrency", "4"]
        self._flags += ["--osl", "10", "--isl", "50", "--random-seed", "7"]
        kept = {name: text for name, text in os.environ.items() if not name.startswith("AIPERF_")}
        self._environment = {**kept, "KUBECONFIG": cluster.kubeconfig}
        self._started: list[subprocess.Popen[str]] = []

    def benchmark(self, *words: str) -> list[str]:
        """The flags of a benchmark, with these."""
        return [*self._flags, *words]

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "aiperf", *words],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """Ends what is left of what was started."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def wait_for(self, namespace: str, state: str, starter: subprocess.Popen[str] | None = None) -> str:
        """The id of the namespace's only run, once it is in this state."""
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            runs = self.runs(namespace)
            found = [run_id for run_id, told in runs.items() if told["state"] == state]
            if found:
                return found[0]
            if starter is not None and starter.poll() is not None:
                raise AssertionError(f"the command ended: {starter.communicate()}")
            assert time.monotonic() < deadline_s, f"still not {state}: {runs}"
            time.sleep(0.5)

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """The command at its end, which must have been with this code."""
        process = self.start(*words)
        out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == code, f"aiperf {' '.join(words)}: {process.returncode}\n{out}{err}"
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def detached(self, *words: str) -> str:
        """The id of a run that goes on without its command."""
        flags = self.benchmark(*words, "--detach", "--ui", "simple", "--skip-preflight")
        return self.run("profile", "--kubernetes", *flags).stdout.strip()

    def runs(self, namespace: str) -> dict[str, dict[str, Any]]:
        """By id, as `list --json` tells."""
        told = json.loads(self.run("kube", "list", "--json", "-n", namespace).stdout)
        return {run["run_id"]: run for run in told}


def server_objects(name: str, namespace: str, image: str) -> list[dict[str, Any]]:
    """A mock server that wants a key, as Pod and Service."""
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    container = {
        "name": "server",
        "image": image,
        "args": [
            *("mock-server", "--host", "0.0.0.0", "--port", str(PORT), "--ttft", "40", "--itl", "5"),
            *("--auth-token", KEY),
        ],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    service = {"selector": {"app": name}, "ports": [{"port": PORT}]}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
        },
    ]


def remains(cluster: Cluster, namespace: str, run_id: str) -> str:
    """What there is of a run, in words."""
    kinds = "pod,job,service,configmap,secret,networkpolicy,serviceaccount,role,rolebinding"
    words = ("--namespace", namespace, "--selector", f"aiperf/run-id={run_id}", "--output=name")
    return cluster.kubectl("get", kinds, *words).stdout


@contextlib.contextmanager
def place_with_server(cluster: Cluster) -> Iterator[str]:
    """A `restricted` namespace for runs, with a server in it."""
    name = f"test-kube-{uuid.uuid4().hex[:8]}"
    try:
        cluster.add_namespace(name)
        cluster.apply(*server_objects("server", name, cluster.image))
        cluster.kubectl("--namespace", name, "wait", "--for=condition=Ready", "pod/server", "--timeout=80s")
        yield name
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)
