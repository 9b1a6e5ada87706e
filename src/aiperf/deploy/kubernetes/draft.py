"""Plan and what is known of the cluster → the blueprint of a run.

Owns: putting the parts together. Does not own: finding out what the cluster is like (preflight), making keys.
"""

from aiperf.deploy.kubernetes.blueprint import Account, Blueprint, RunSecrets
from aiperf.deploy.kubernetes.names import names_of
from aiperf.deploy.kubernetes.pod_environment import PodEnvironment
from aiperf.deploy.kubernetes.pod_plan import pod_plan, uploads
from aiperf.deploy.kubernetes.run_length import controller_s_max, work_s_max
from aiperf.deploy.kubernetes.sizing import size_run
from aiperf.deploy.layouts import kubernetes_layout
from aiperf.deploy.promising import promise_of
from aiperf.plan.plan import Plan
from aiperf.schedule.phases import phases


def draft_blueprint(
    plan: Plan,
    *,
    run_id: str,
    seed: int,
    secrets: RunSecrets | None,
    namespace: str | None = None,
    owns_namespace: bool | None = None,
    may_create_roles: bool = True,
    cpu_limits_demanded: bool = False,
    ca_pem: str = "",
    environment: PodEnvironment | None = None,
) -> Blueprint:
    """What a run of this plan looks like.

    `namespace`: where to run if the plan names none and a new one cannot be made. `owns_namespace`: whether it is made
    for the run; by default, if it has the run's name. Raises: PlanError if the load cannot be carried.
    """
    schedule = phases(plan, seed)
    sizing = size_run(plan, schedule, cpu_limits_demanded=cpu_limits_demanded)
    chosen = plan.kubernetes.kubernetes_namespace or namespace or names_of(run_id).namespace
    return Blueprint(
        plan=pod_plan(plan),
        layout=kubernetes_layout(
            run_id=run_id,
            topology=sizing.topology,
            workers=sizing.workers,
            processors=sizing.processors,
            seed=seed,
            uploads=uploads(plan),
            calibration_servers=sizing.calibration_servers,
            promise=promise_of(sizing.load, plan.expectation, sizing.workers, sizing.processors),
        ),
        sizing=sizing,
        namespace=chosen,
        owns_namespace=chosen == names_of(run_id).namespace if owns_namespace is None else owns_namespace,
        account=_account(plan, may_create_roles),
        work_s=work_s_max(plan, schedule),
        controller_s=controller_s_max(plan, schedule),
        secrets=secrets,
        ca_pem=ca_pem,
        environment=environment or PodEnvironment(),
    )


def _account(plan: Plan, may_create_roles: bool) -> Account:
    if plan.kubernetes.service_account is not None:
        return Account.GIVEN
    return Account.OWN if may_create_roles else Account.NONE
