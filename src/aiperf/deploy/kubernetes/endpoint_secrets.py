"""What the endpoint wants to know, out of the user's own Secret (`--endpoint-secret`).

Owns: its way into a worker's environment, and from there into the plan. Does not own: the plan's own secrets, which
come with it (`run_files`).
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from aiperf.dataset.tokens import asks_hub
from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.names import Component
from aiperf.deploy.kubernetes.pod_environment import HUB_TOKEN
from aiperf.errors import PlanError, Problem
from aiperf.plan.plan import Plan

API_KEY_VARIABLE = "AIPERF_API_KEY"
HEADERS_VARIABLE = "AIPERF_HEADERS"
HUB_TOKEN_KEY = "hf-token"  # noqa: S105 (a key's name)
_KEYS = {API_KEY_VARIABLE: "api-key", HEADERS_VARIABLE: "headers"}
"""Environment variable: key of the Secret."""


def endpoint_environment(
    blueprint: Blueprint, component: Component, *, fetches_tokenizer: bool
) -> list[dict[str, Any]]:
    """The endpoint's secrets for who calls the endpoint by a plan that may hold none; the hub's token for who asks it,
    unless the user's own goes along."""
    name = blueprint.cluster.endpoint_secret
    keys = dict(_KEYS) if component is Component.WORKER else {}
    has_own = HUB_TOKEN in blueprint.environment.names and not blueprint.standalone
    if fetches_tokenizer and asks_hub(blueprint.plan) and not has_own:
        keys[HUB_TOKEN] = HUB_TOKEN_KEY
    if name is None:
        return []
    return [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key, "optional": True}}}
        for variable, key in keys.items()
    ]


def with_endpoint_secrets(plan: Plan, environ: Mapping[str, str]) -> Plan:
    """The plan with what the environment of a pod tells. What the plan says itself stands.

    Raises: PlanError if the headers are no JSON object.
    """
    if plan.kubernetes.endpoint_secret is None:
        return plan
    endpoint = plan.endpoint
    changes: dict[str, Any] = {}
    # Secrets are often made from files, which end with a line's end.
    if (key := environ.get(API_KEY_VARIABLE, "").strip()) and endpoint.api_key is None:
        changes["api_key"] = SecretStr(key)
    if text := environ.get(HEADERS_VARIABLE, "").strip():
        changes["headers"] = {**_headers(text, plan.kubernetes.endpoint_secret), **endpoint.headers}
    return plan.model_copy(update={"endpoint": endpoint.model_copy(update=changes)})


def _headers(text: str, secret: str) -> dict[str, str]:
    """Nothing of the text is told: it is a secret."""
    try:
        headers = json.loads(text)
    except ValueError:
        headers = None
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        hint = 'Such as {"X-Key": "value"}.'
        raise PlanError(Problem("`headers` is not a JSON object of texts", f"Secret {secret}", hint))
    return headers
