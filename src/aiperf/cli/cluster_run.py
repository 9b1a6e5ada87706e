"""`aiperf profile --kubernetes`: the order of things on the operator's side, for a run in a cluster.

Owns: from the plan to the exit code. Does not own: objects, pods, the API (`aiperf.deploy.kubernetes`), showing.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from aiperf.api.contract import Uploadable
from aiperf.cli.operator import LEFT_ALONE, Operator
from aiperf.deploy.kubernetes.api_line import ApiLine
from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.creation import create_run
from aiperf.deploy.kubernetes.draft import draft_blueprint
from aiperf.deploy.kubernetes.leftovers import sweep_expired_namespaces
from aiperf.deploy.kubernetes.manifests import standalone_manifests
from aiperf.deploy.kubernetes.plan_screen import plan_screen, screen_text
from aiperf.deploy.kubernetes.pod_environment import pod_environment
from aiperf.deploy.kubernetes.pod_plan import user_files
from aiperf.deploy.kubernetes.preflight import failed, not_ready, preflight, render, require_endpoint
from aiperf.deploy.kubernetes.reach import entrance
from aiperf.deploy.kubernetes.run_length import namespace_s_max
from aiperf.deploy.kubernetes.run_secrets import make_run_secrets
from aiperf.deploy.kubernetes.service_manager import HostedRun, KubernetesServiceManager
from aiperf.deploy.kubernetes.survey import Survey, survey
from aiperf.deploy.kubernetes.yaml_out import yaml_text
from aiperf.errors import ClusterError, InfrastructureError
from aiperf.plan.plan import Plan
from aiperf.schedule.phases import phases
from aiperf.ui.live import View, open_view
from aiperf.wire.messages import RunFinished


def print_manifests(plan: Plan, run_id: str, seed: int) -> None:
    """`--dry-run`: what `kubectl apply` takes. Raises: PlanError."""
    blueprint = draft_blueprint(
        plan,
        run_id=run_id,
        seed=seed,
        secrets=None,
        ca_pem=_ca_pem(plan),
        environment=pod_environment(plan, os.environ),
    )
    sys.stdout.write(yaml_text(standalone_manifests(blueprint)))


def run_in_cluster(plan: Plan, run_id: str, seed: int, artifact_dir: Path) -> RunFinished:
    """How the run ended, with its results in `artifact_dir`. Raises: AIPerfError."""
    return asyncio.run(_run(plan, run_id, seed, artifact_dir))


async def _run(plan: Plan, run_id: str, seed: int, artifact_dir: Path) -> RunFinished:
    chosen = plan.kubernetes
    async with Cluster.connect(chosen.kubeconfig, chosen.kubecontext) as cluster:
        await _sweep(cluster)
        blueprint, was_looked_at = await _settle(cluster, plan, run_id, seed)
        view = open_view(plan.services.ui, sys.stderr)
        try:
            looks = not (was_looked_at or chosen.skip_preflight or plan.calibration.calibrate_only)
            return await _operate(cluster, blueprint, user_files(plan), artifact_dir, view, looks=looks)
        finally:
            view.close()


def check_cluster(plan: Plan, run_id: str, seed: int) -> bool:
    """Prints what would be made and all checks; whether the benchmark could run. Raises: AIPerfError."""
    return asyncio.run(_check(plan, run_id, seed))


async def _check(plan: Plan, run_id: str, seed: int) -> bool:
    async with Cluster.connect(plan.kubernetes.kubeconfig, plan.kubernetes.kubecontext) as cluster:
        blueprint, _, screen = await _draft(cluster, plan, run_id, seed)
        print(screen, end="\n\n", flush=True)
        checks = await preflight(cluster, blueprint, probe=not plan.calibration.calibrate_only)
        print(render(checks))
        return not failed(checks)


async def _settle(cluster: Cluster, plan: Plan, run_id: str, seed: int) -> tuple[Blueprint, bool]:
    """The run as it will be, shown and checked before anything is created, and whether its namespace is there.

    Raises: AIPerfError.
    """
    blueprint, found, screen = await _draft(cluster, plan, run_id, seed)
    _say(screen)
    if not plan.kubernetes.skip_preflight:
        probe = found.namespace_exists and not plan.calibration.calibrate_only
        checks = await preflight(cluster, blueprint, probe=probe)
        if failed(checks):
            raise InfrastructureError(not_ready(checks))
    return blueprint, found.namespace_exists


async def _draft(cluster: Cluster, plan: Plan, run_id: str, seed: int) -> tuple[Blueprint, Survey, str]:
    """The run as it will be, what it was drafted from, and the screen that tells of it."""
    found = await survey(cluster, plan, run_id)
    blueprint = draft_blueprint(
        plan,
        run_id=run_id,
        seed=seed,
        secrets=make_run_secrets(run_id, plan),
        namespace=found.namespace,
        owns_namespace=found.owns_namespace,
        may_create_roles=found.may_create_roles,
        cpu_limits_demanded=found.cpu_limits_demanded,
        ca_pem=_ca_pem(plan),
        environment=pod_environment(plan, os.environ),
    )
    screen = plan_screen(
        blueprint, context=cluster.context, server=cluster.server, namespace_exists=found.namespace_exists
    )
    return blueprint, found, "\n".join([screen_text(screen), *found.notes])


async def _operate(
    cluster: Cluster,
    blueprint: Blueprint,
    files: Mapping[Uploadable, Path],
    artifact_dir: Path,
    view: View,
    *,
    looks: bool,
) -> RunFinished:
    """`looks`: the endpoint has not been tried from inside yet, since there was no namespace to try it in."""
    plan = blueprint.plan
    lasts_s = namespace_s_max(plan, phases(plan, blueprint.layout.random_seed))
    expires_at_s = None if lasts_s is None else int(time.time()) + lasts_s
    manager = KubernetesServiceManager(
        cluster,
        HostedRun(blueprint.layout, blueprint.namespace, blueprint.owns_namespace),
        view.notice,
        create=lambda: create_run(
            cluster,
            blueprint,
            view.notice,
            expires_at_s,
            look=(lambda: require_endpoint(cluster, blueprint)) if looks else None,
        ),
        needs_all_pods=plan.kubernetes.min_workers is None,
    )
    line = ApiLine(
        cluster,
        entrance(blueprint),
        artifact_dir,
        view.notice,
        files=files,
        opened=manager.begun,
    )
    logs = f"aiperf kube logs {blueprint.run_id}"
    operator = Operator(blueprint.layout, manager, line, view, logs=logs, stays=not plan.kubernetes.detach)
    finished = await operator.run()
    if finished.outcome == LEFT_ALONE:
        where = f" --namespace {blueprint.namespace}"
        _say(f"run {blueprint.run_id} goes on: aiperf kube attach {blueprint.run_id}{where}")
        print(blueprint.run_id)
    return finished


async def _sweep(cluster: Cluster) -> None:
    """Removes namespaces that lost runs have left, as far as it may."""
    with contextlib.suppress(ClusterError):  # what is wrong with the cluster is found and told by what comes next
        if swept := await sweep_expired_namespaces(cluster):
            _say(f"removed what lost runs had left: {', '.join(swept)}")


def _ca_pem(plan: Plan) -> str:
    path = plan.endpoint.ca_file
    return path.read_text() if path is not None else ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
