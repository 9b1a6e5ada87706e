"""The Plan as data: for artifacts without its secrets, for child processes with them.

Owns: what counts as a secret in any file that people may see, the mask, the private file. Does not own: where files go.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiperf.plan.plan import Plan

MASK = "**********"
"""Stands for a secret in everything people may see."""

_SECRET_HEADER = re.compile(r"auth|cookie|key|token|secret|passw|signature|credential|session", re.IGNORECASE)
_SECRET_BODY_FIELD = re.compile(r"auth(?!or)|api[-_]?key|access[-_]?token|secret|passw|credential", re.IGNORECASE)
"""Narrower than for headers: `max_tokens` and `prompt_cache_key` are no secrets."""


def public_dump(plan: Plan) -> dict[str, Any]:
    """The plan for artifacts, as JSON-ready data that is also a configuration file. Secrets are masked.

    Masked are the API key, values of `--pod-env`, and header values and body fields whose names suggest a secret. Such
    a file asks for them anew when it is loaded.
    """
    data = plan.model_dump(mode="json")
    endpoint = data["endpoint"]
    endpoint["api_key"] = MASK if plan.endpoint.api_key else None
    endpoint["headers"] = masked_headers(endpoint["headers"])
    endpoint["extra_inputs"] = _masked(endpoint["extra_inputs"], _SECRET_BODY_FIELD)
    variables = data["kubernetes"]["pod_env"]
    data["kubernetes"]["pod_env"] = {name: MASK if value else "" for name, value in variables.items()}
    return data


def private_dump(plan: Plan) -> str:
    """The whole plan as JSON text, **with its secrets**, for `load_dump` in another process of the same run."""
    data = plan.model_dump(mode="json")
    data["endpoint"]["api_key"] = plan.endpoint.api_key.get_secret_value() if plan.endpoint.api_key else None
    return json.dumps(data)


def load_dump(text: str) -> Plan:
    """The plan that `private_dump` was given, equal in every field."""
    return Plan.model_validate_json(text)


def write_private_dump(plan: Plan, path: Path) -> None:
    """Writes the plan with its secrets to a new file that only its owner can read.

    Raises: FileExistsError if something is there already: it might be readable by others, or a link to elsewhere.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(private_dump(plan))


def masked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with a mask for the value of each whose name suggests a secret."""
    return _masked(headers, _SECRET_HEADER)


def is_masked(value: Any) -> bool:
    """Whether this value, or one in it, is a mask instead of the secret that it stood for."""
    return value == MASK or (isinstance(value, dict) and MASK in value.values())


def _masked(values: Mapping[str, Any], secret_name: re.Pattern[str]) -> dict[str, Any]:
    return {name: MASK if secret_name.search(name) else value for name, value in values.items()}
