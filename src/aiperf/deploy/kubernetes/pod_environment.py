"""Environment variables of the user's that the run's containers get.

Owns: which there are (`--pod-env`, the hub's token), how a container gets them. Does not own: the Secret that holds
them (`run_files`), variables of our own (`pods`).

Values may be secrets (a proxy's address with a password), so all are in the run's Secret. Manifests that are printed
have none: there they stand as they are, and what looks like a secret is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aiperf.dataset import hub
from aiperf.dataset.tokens import asks_hub
from aiperf.deploy.kubernetes.pod_plan import local_tokenizer
from aiperf.errors import PlanError, Problem
from aiperf.plan.plan import Plan

KEY_PREFIX = "env."
"""Of a variable's key in the run's Secret."""
HUB_TOKEN = "HF_TOKEN"  # noqa: S105 (a variable's name)

_SECRET_NAME = re.compile(r"auth|key|token|secret|passw|credential", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PodEnvironment:
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """For every container."""
    hub_token: str = field(default="", repr=False)
    """For the container that fetches the tokenizer; empty: there is none, or it is not wanted."""

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.variables, *([HUB_TOKEN] if self.hub_token else []))

    def secret_files(self) -> dict[str, str]:
        """As the run's Secret holds it."""
        token = {HUB_TOKEN: self.hub_token} if self.hub_token else {}
        return {f"{KEY_PREFIX}{name}": value for name, value in {**token, **self.variables}.items()}


def pod_environment(plan: Plan, environ: Mapping[str, str]) -> PodEnvironment:
    """What the run's containers get from here. Raises: PlanError if a variable to be taken over is not set here."""
    asked = plan.kubernetes.pod_env
    missing = [name for name, value in asked.items() if not value and name not in environ]
    if missing:
        raise PlanError(
            *(Problem(f"{name} is not set here", "--pod-env", f"Set it, or write {name}=VALUE.") for name in missing)
        )
    variables = {name: value or environ[name] for name, value in asked.items()}
    wants_token = asks_hub(plan) and local_tokenizer(plan) is None and HUB_TOKEN not in variables
    return PodEnvironment(variables, (hub.token() or "") if wants_token else "")


def looks_secret(name: str, value: str) -> bool:
    """Whether a value may not stand in a manifest that people see."""
    try:
        return bool(_SECRET_NAME.search(name)) or urlsplit(value).password is not None
    except ValueError:  # no address as it should be; there may be a password in it all the same
        return "@" in value


def environment_entries(
    environment: PodEnvironment, secret_name: str | None, *, fetches_tokenizer: bool
) -> list[dict[str, Any]]:
    """A container's `env`. `secret_name`: of the run's Secret; None if the values stand as they are."""
    if secret_name is None:
        return [{"name": name, "value": value} for name, value in environment.variables.items()]
    names = [*environment.variables, *([HUB_TOKEN] if environment.hub_token and fetches_tokenizer else [])]
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret_name, "key": f"{KEY_PREFIX}{name}"}}}
        for name in names
    ]
