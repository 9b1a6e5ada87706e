"""The files that every container of a run reads first, and the objects that hold them.

Owns: ConfigMap (what anybody may read), Secret (what only the run may), the volume that shows both in one directory.
Does not own: what the files say (`aiperf.plan.dumps`, `aiperf.service.layout`).

A container sees only the files it needs: the API's private key is mounted where the API is served, and nowhere else.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from aiperf.deploy.kubernetes.blueprint import Blueprint, RunSecrets
from aiperf.deploy.kubernetes.names import Component
from aiperf.deploy.kubernetes.pod_plan import CA_NAME
from aiperf.plan.dumps import is_masked, public_dump

LAYOUT_NAME = "layout.json"
PLAN_NAME = "plan.json"
"""With its secrets; of a standalone run without them. As `aiperf service` expects both."""
PUBLIC_PLAN_NAME = "plan.public.json"
TOKEN_NAME = "token"  # noqa: S105 (a file's name)
WIRE_KEYS_NAME = "wire.json"
API_CERTIFICATE_NAME = "tls.crt"
API_PRIVATE_KEY_NAME = "tls.key"

SHARED_SECRETS = (TOKEN_NAME, WIRE_KEYS_NAME, API_CERTIFICATE_NAME)
"""Names of secret files that every container sees: to fetch the dataset, to speak to its peers."""


def config_map(blueprint: Blueprint) -> dict[str, Any]:
    """Plan without secrets, layout, and the endpoint's certificate authorities."""
    files = {
        LAYOUT_NAME: msgspec.json.encode(blueprint.layout).decode(),
        PUBLIC_PLAN_NAME: json.dumps(_public_plan(blueprint)),
        **({CA_NAME: blueprint.ca_pem} if blueprint.ca_pem else {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": blueprint.metadata(blueprint.names.config_map),
        "immutable": True,
        "data": files,
    }


def _public_plan(blueprint: Blueprint) -> dict[str, Any]:
    """The plan without its secrets. A standalone run reads it as its plan: what is masked is not there at all."""
    dump = public_dump(blueprint.plan)
    if blueprint.standalone:
        endpoint = dump["endpoint"]
        endpoint["api_key"] = None
        endpoint["headers"] = {name: value for name, value in endpoint["headers"].items() if not is_masked(value)}
    return dump


def secret(blueprint: Blueprint) -> dict[str, Any]:
    """Keys, the plan with the endpoint's secrets, the user's variables.

    Raises: AssertionError for a standalone run: it makes its own.
    """
    assert blueprint.secrets is not None
    files = {
        PLAN_NAME: blueprint.secrets.private_plan,
        **key_files(blueprint.secrets),
        **blueprint.environment.secret_files(),
    }
    return secret_of(blueprint.metadata(blueprint.names.secret), files)


def secret_of(metadata: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """The Secret with these files."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": dict(metadata),
        "immutable": True,
        "type": "Opaque",
        "stringData": dict(files),
    }


def key_files(secrets: RunSecrets) -> dict[str, str]:
    """The run's keys, each as the file that it is in a pod."""
    return {
        TOKEN_NAME: secrets.token,
        WIRE_KEYS_NAME: secrets.wire_keys,
        API_CERTIFICATE_NAME: secrets.api_certificate,
        API_PRIVATE_KEY_NAME: secrets.api_private_key,
    }


def run_volume(blueprint: Blueprint, component: Component, *, serves_api: bool) -> dict[str, Any]:
    """The volume with the files that a pod of this component sees.

    A standalone controller makes its files itself: it cannot wait for a Secret that it has yet to create.
    """
    if blueprint.standalone and component is Component.CONTROLLER:
        return {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}
    public = [LAYOUT_NAME, *([CA_NAME] if blueprint.ca_pem else [])]
    private = list(SHARED_SECRETS)
    items = [{"key": name, "path": name} for name in public]
    if blueprint.standalone:
        items.append({"key": PUBLIC_PLAN_NAME, "path": PLAN_NAME})
    else:
        private.append(PLAN_NAME)
    if serves_api:
        private.append(API_PRIVATE_KEY_NAME)
    sources = [
        {"configMap": {"name": blueprint.names.config_map, "items": items}},
        {
            "secret": {
                "name": blueprint.names.secret,
                "items": [{"key": name, "path": name} for name in sorted(private)],
            }
        },
    ]
    return {"name": "run", "projected": {"sources": sources}}
