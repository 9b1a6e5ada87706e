"""Pods that run a script, for tests of the cluster's client: their manifests, and waiting for them.

Owns: the label that marks them as of a run, a server of bytes. Does not own: the cluster (`conftest`).
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

from aiperf.deploy.kubernetes.cluster import Cluster

RUN_ID = "0123456789ab"
LABELS = {"aiperf/run-id": RUN_ID, "app.kubernetes.io/managed-by": "aiperf"}
HANG_S = 90
PYTHON = "/opt/aiperf/bin/python3"

STREAM = """
import socket, threading
block = bytes(range(256)) * 4096
def serve(connection):
    left = int(connection.makefile().readline())
    while left:
        part = block[:left]
        connection.sendall(part)
        left -= len(part)
    connection.recv(1)
server = socket.create_server(("", 8443), backlog=64)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
"""Sends as many bytes as the first line asks for."""


def script_pod(
    image: str, namespace: str, name: str, script: str, labels: dict[str, str] | None = None, /, **container: Any
) -> dict[str, Any]:
    """The manifest of a pod of the project's image that runs a script, as the `restricted` level asks."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {**LABELS, **(labels or {})}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "worker",
                    "image": image,
                    "command": [PYTHON, "-u", "-c", script],
                    "securityContext": security,
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                }
                | container
            ],
        },
    }


async def until(condition: Callable[[], Any], what: str) -> Any:
    deadline_s = time.monotonic() + HANG_S
    while not (value := await condition()):
        assert time.monotonic() < deadline_s, f"still not: {what}"
        await asyncio.sleep(0.2)
    return value


async def running(client: Cluster, manifest: dict[str, Any]) -> None:
    """Makes the pod and waits until it runs."""
    await client.create(manifest)
    metadata = manifest["metadata"]

    async def runs() -> bool:
        there = await client.get("Pod", metadata["name"], metadata["namespace"])
        return there is not None and there["status"].get("phase") == "Running"

    await until(runs, f"{metadata['name']} runs")


def fetched(port: int, count: int) -> bytes:
    """So many bytes, or as many as came before the connection broke."""
    received = bytearray()
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"%d\n" % count)
        while len(received) < count and (data := connection.recv(1 << 20)):
            received += data
    return bytes(received)


def download_without_end(port: int, counts: list[int]) -> None:
    """Returns only when the connection has ended as if all had come."""
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_S) as connection:
        connection.sendall(b"%d\n" % (1 << 50))
        while data := connection.recv(1 << 20):
            counts.append(len(data))
