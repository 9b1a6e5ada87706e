"""The way from here to the controller's HTTP API.

Owns: each access method → an `ApiAddress`, for as long as it is needed. Does not own: the Service that some need
(`network`), tunnels (`port_forward`), the API's client (`aiperf.api`).

Everything but a port-forward to this very machine shows itself to a network, and is TLS either way: the run's own
certificate, pinned, except through the API server's proxy, which ends TLS itself and is trusted as the kubeconfig says.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiperf.api.connection import ApiAddress
from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.names import LABEL_COMPONENT, Component, names_of, run_labels
from aiperf.deploy.kubernetes.port_forward import PortForward
from aiperf.deploy.kubernetes.ports import API_PORT
from aiperf.errors import ClusterError

POD_PATIENCE_S = 60.0
BALANCER_PATIENCE_S = 180.0
"""Cloud load balancers take a minute or two to be made."""
PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Entrance:
    """Whose API, and how it is reached: all that somebody needs who attaches later."""

    namespace: str
    run_id: str
    access: str
    """`--api-access`."""
    token: str = field(repr=False)
    certificate_pem: str = field(repr=False)
    node_ip: str | None = None
    port: int = API_PORT


def entrance(blueprint: Blueprint) -> Entrance:
    """Of a run that is started from here. Raises: AssertionError for a standalone one: its keys are in its Secret."""
    assert blueprint.secrets is not None
    return Entrance(
        namespace=blueprint.namespace,
        run_id=blueprint.run_id,
        access=blueprint.cluster.api_access,
        token=blueprint.secrets.token,
        certificate_pem=blueprint.secrets.api_certificate,
        node_ip=blueprint.cluster.node_ip,
    )


@contextlib.asynccontextmanager
async def open_way(cluster: Cluster, entrance: Entrance) -> AsyncIterator[ApiAddress]:
    """The API's address, as long as the block lasts. Raises: ClusterError."""
    pod = await _controller_pod(cluster, entrance)
    name = str(pod["metadata"]["name"])
    match entrance.access:
        case "port-forward":

            async def find() -> str:
                return name

            async with PortForward(cluster, entrance.namespace, find, entrance.port) as forward:
                yield _pinned("127.0.0.1", forward.port, entrance)
        case "proxy":
            yield await _through_proxy(cluster, entrance, name)
        case "nodeport":
            service = await _access_service(cluster, entrance)
            yield _pinned(
                await _node_address(cluster, entrance, pod), service["spec"]["ports"][0]["nodePort"], entrance
            )
        case "loadbalancer":
            yield _pinned(await _balancer_address(cluster, entrance), entrance.port, entrance)
        case "direct":
            yield _pinned(pod["status"]["podIP"], entrance.port, entrance)
        case other:
            raise ClusterError(f"there is no way named {other} to a controller")


def _pinned(host: str, port: int, entrance: Entrance) -> ApiAddress:
    bracketed = f"[{host}]" if ":" in host else host
    return ApiAddress(f"https://{bracketed}:{port}", token=entrance.token, certificate_pem=entrance.certificate_pem)


async def _controller_pod(cluster: Cluster, entrance: Entrance) -> dict[str, Any]:
    """The run's controller, once it has an address."""
    labels = {**run_labels(entrance.run_id), LABEL_COMPONENT: Component.CONTROLLER.value}
    deadline_s = time.monotonic() + POD_PATIENCE_S
    while True:
        pods = await cluster.list("Pod", entrance.namespace, labels)
        alive = [pod for pod in pods if pod["status"].get("podIP") and pod["status"].get("phase") == "Running"]
        if alive:
            return max(alive, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        if time.monotonic() > deadline_s:
            found = ", ".join(f"{pod['metadata']['name']} ({pod['status'].get('phase')})" for pod in pods) or "none"
            raise ClusterError(
                f"the controller of run {entrance.run_id} does not run in namespace {entrance.namespace}",
                f"Pods found: {found}.",
                reason="NotFound",
            )
        await asyncio.sleep(PAUSE_S)


async def _through_proxy(cluster: Cluster, entrance: Entrance, pod: str) -> ApiAddress:
    transport = await cluster.transport()
    hint = "Use --api-access port-forward."
    if transport.tls_server_name:
        raise ClusterError("--api-access proxy cannot use the kubeconfig's tls-server-name", hint)
    proxy = transport.proxy
    if proxy is not None and not proxy.url.startswith("http://"):
        raise ClusterError(f"--api-access proxy cannot use the proxy {proxy}, which itself wants TLS", hint)
    path = f"/api/v1/namespaces/{entrance.namespace}/pods/https:{pod}:{entrance.port}/proxy"
    return ApiAddress(
        transport.server + path,
        token=entrance.token,
        headers=transport.headers,
        tls=transport.tls,
        proxy_url=proxy.url if proxy else "",
    )


async def _access_service(cluster: Cluster, entrance: Entrance) -> dict[str, Any]:
    name = names_of(entrance.run_id).access_service
    service = await cluster.get("Service", name, entrance.namespace)
    if service is None:
        what = f"there is no Service {name} in namespace {entrance.namespace}: the run was started with another way"
        raise ClusterError(what, "Use --api-access port-forward, which always works.")
    return service


async def _node_address(cluster: Cluster, entrance: Entrance, pod: dict[str, Any]) -> str:
    """Of the controller's node: the one for those outside if it has one and we may know."""
    if entrance.node_ip is not None:
        return entrance.node_ip
    with contextlib.suppress(ClusterError):
        node = await cluster.get("Node", pod["spec"]["nodeName"])
        addresses = {each["type"]: each["address"] for each in (node or {}).get("status", {}).get("addresses", [])}
        if found := addresses.get("ExternalIP") or addresses.get("InternalIP"):
            return str(found)
    return str(pod["status"]["hostIP"])


async def _balancer_address(cluster: Cluster, entrance: Entrance) -> str:
    deadline_s = time.monotonic() + BALANCER_PATIENCE_S
    while True:
        service = await _access_service(cluster, entrance)
        for ingress in service.get("status", {}).get("loadBalancer", {}).get("ingress", []):
            if found := ingress.get("ip") or ingress.get("hostname"):
                return str(found)
        if time.monotonic() > deadline_s:
            raise ClusterError(
                f"the load balancer of Service {service['metadata']['name']} got no address in time",
                "Does this cluster make load balancers? Use --api-access port-forward, which always works.",
            )
        await asyncio.sleep(2)
