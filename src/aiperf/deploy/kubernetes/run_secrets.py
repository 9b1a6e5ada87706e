"""The run's keys, made anew for each run.

Owns: making them. Does not own: what they open (`aiperf.api`, `aiperf.wire`), the Secret that holds them (`run_files`).
"""

import secrets

from aiperf.api.certificate import make_certificate
from aiperf.deploy.kubernetes.blueprint import RunSecrets
from aiperf.deploy.kubernetes.names import Component, names_of
from aiperf.deploy.kubernetes.pod_plan import pod_plan
from aiperf.plan.dumps import private_dump
from aiperf.plan.plan import Plan
from aiperf.wire.curve import make_wire_keys, to_json

TOKEN_BYTES = 32


def make_run_secrets(run_id: str, plan: Plan) -> RunSecrets:
    """Token, wire keys and certificate of a run, and its plan with the endpoint's secrets."""
    names = names_of(run_id)
    serving = (Component.CONTROLLER, Component.DATASET_MANAGER, Component.RECORDS_MANAGER)
    certificate = make_certificate(run_id, [names.dns_name(component) for component in serving])
    return RunSecrets(
        token=secrets.token_urlsafe(TOKEN_BYTES),
        wire_keys=to_json(make_wire_keys()).decode(),
        private_plan=private_dump(pod_plan(plan)),
        api_certificate=certificate.certificate_pem,
        api_private_key=certificate.key_pem,
    )
