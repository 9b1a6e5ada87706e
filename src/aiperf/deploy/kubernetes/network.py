"""How a run's pods are reached: by each other, by name, and by the user.

Owns: the headless Service, the Service for access from outside, the NetworkPolicy. Does not own: port numbers
(`ports`), opening a way from the user's machine.
"""

from typing import Any

from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.names import LABEL_COMPONENT, LABEL_RUN_ID, Component
from aiperf.deploy.kubernetes.ports import (
    API_PORT,
    CALIBRATION_PORT,
    COLUMNS_PORT,
    CONTROL_PORT,
    CREDITS_PORT,
    PORT_NAMES,
    RECORDS_PORT,
)

_BETWEEN_PODS = (CONTROL_PORT, CREDITS_PORT, COLUMNS_PORT, RECORDS_PORT, API_PORT)
_SERVICE_TYPES = {"nodeport": "NodePort", "loadbalancer": "LoadBalancer"}


def headless_service(blueprint: Blueprint) -> dict[str, Any]:
    """Gives each pod its DNS name, from the moment it has an address: pods find each other before they are ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": blueprint.metadata(blueprint.names.service),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": _of_run(blueprint),
            "ports": [_service_port(CONTROL_PORT), _service_port(API_PORT)],
        },
    }


def access_service(blueprint: Blueprint) -> dict[str, Any] | None:
    """The Service that leads from outside to the controller's API; None where the access method needs none."""
    kind = _SERVICE_TYPES.get(blueprint.cluster.api_access)
    if kind is None:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": blueprint.metadata(blueprint.names.access_service, Component.CONTROLLER),
        "spec": {
            "type": kind,
            "selector": {**_of_run(blueprint), LABEL_COMPONENT: Component.CONTROLLER.value},
            "ports": [_service_port(API_PORT)],
        },
    }


def network_policy(blueprint: Blueprint) -> dict[str, Any]:
    """Lets the run's pods speak with each other, and others only to the API, where the access method comes that way.

    A port-forward and health probes come from the pod's own node, which policies never hold back.
    """
    calibration = [CALIBRATION_PORT] if blueprint.layout.calibration_urls else []
    ingress: list[dict[str, Any]] = [
        {
            "from": [{"podSelector": {"matchLabels": _of_run(blueprint)}}],
            "ports": [{"protocol": "TCP", "port": port} for port in [*_BETWEEN_PODS, *calibration]],
        }
    ]
    if blueprint.cluster.api_access != "port-forward":
        ingress.append({"ports": [{"protocol": "TCP", "port": API_PORT}]})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": blueprint.metadata(blueprint.names.network_policy),
        "spec": {
            "podSelector": {"matchLabels": _of_run(blueprint)},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }


def _of_run(blueprint: Blueprint) -> dict[str, str]:
    return {LABEL_RUN_ID: blueprint.labels()[LABEL_RUN_ID]}


def _service_port(port: int) -> dict[str, Any]:
    return {"name": PORT_NAMES[port], "port": port, "targetPort": port, "protocol": "TCP"}
