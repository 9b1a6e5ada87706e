"""Blueprints of small runs."""

from collections.abc import Callable
from typing import Any

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.deploy.kubernetes.blueprint import Blueprint, RunSecrets
from aiperf.deploy.kubernetes.draft import draft_blueprint
from aiperf.deploy.kubernetes.pod_plan import pod_plan
from aiperf.plan.dumps import private_dump

RUN_ID = "0123456789ab"
Draft = Callable[..., Blueprint]


@pytest.fixture
def draft() -> Draft:
    """`draft("--concurrency", "100")` is the blueprint of such a run; `standalone=True`: of one that nobody starts."""

    def make(*words: str, standalone: bool = False, **known: Any) -> Blueprint:
        plan, _ = plan_from_argv(["-m", "llama-3", "-u", "http://llm.serving:8000", "--kubernetes", *words], {})
        secrets = None
        if not standalone:
            secrets = RunSecrets(
                token="a-token",
                wire_keys='{"server": "wire-key"}',
                private_plan=private_dump(pod_plan(plan)),
                api_certificate="a-certificate\n",
                api_private_key="a-private-key\n",
            )
        return draft_blueprint(plan, run_id=RUN_ID, seed=7, secrets=secrets, **known)

    return make
