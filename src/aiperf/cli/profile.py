"""`aiperf profile`: one benchmark, from the command line to the exit code.

Owns: the order of things on the operator's side. Does not own: the plan, the layout, the services, the table.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from aiperf.cli.flags import plan_from_argv
from aiperf.cli.operator import ENDING_SIGNALS, Operator
from aiperf.cli.outcome import make_artifact_dir, report
from aiperf.cli.service import leave_for_services
from aiperf.cli.service import run as run_service
from aiperf.deploy.layouts import calibration_server_count, local_layout
from aiperf.deploy.line import BusLine
from aiperf.deploy.local import MultiProcessServiceManager, private_work_dir
from aiperf.deploy.local_size import local_processor_count, local_worker_count
from aiperf.deploy.planned_load import PlannedLoad, planned_load
from aiperf.deploy.promising import promise_of
from aiperf.deploy.reserved_ports import reserved_urls
from aiperf.endpoint.reach import reach_problems
from aiperf.endpoint.target import Target
from aiperf.errors import ExitCode, PlanError
from aiperf.plan.origins import DEFAULT, Origins, is_given
from aiperf.plan.plan import Plan, settled
from aiperf.plan.source_address import source_addresses
from aiperf.schedule.calibration import calibration_of
from aiperf.schedule.phases import PhasePlan, connections_at_once, phases
from aiperf.service.host import remove_run_dirs
from aiperf.service.layout import Layout
from aiperf.service.machine import this_machine
from aiperf.ui.live import open_view
from aiperf.wire.address import LOOPBACK, LOOPBACK_V6
from aiperf.wire.messages import RunFinished


def run(argv: Sequence[str]) -> int:
    """Runs the benchmark that the arguments ask for. Raises: AIPerfError for whatever the user should read."""
    return run_plan(*plan_from_argv(argv, os.environ))


def run_plan(plan: Plan, origins: Origins) -> int:
    """Runs the benchmark of this plan. Raises: AIPerfError for whatever the user should read."""
    run_id = secrets.token_hex(6)
    export_level_given = is_given(origins, "export_level")
    plan = settled(plan, drawn_seed=secrets.randbits(31), export_level_given=export_level_given)
    seed = plan.input.random_seed
    assert seed is not None
    if plan.kubernetes.kubernetes:
        return _run_in_cluster(plan, run_id, seed)
    schedule = phases(plan, seed)
    load = planned_load(plan, schedule)
    workers = _workers_within_reach(plan, schedule, load, origins)
    processors = local_processor_count(load, plan.services, workers, this_machine())
    artifact_dir = make_artifact_dir(plan, plan.results.artifact_dir)
    with contextlib.ExitStack() as stack:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        stack.callback(signal.pthread_sigmask, signal.SIG_UNBLOCK, ENDING_SIGNALS)
        work_dir = private_work_dir(run_id)
        servers = calibration_server_count(workers) if calibration_of(plan) else 0
        calibration_urls = stack.enter_context(reserved_urls(servers, calibration_host(plan)))
        layout = local_layout(
            run_id=run_id,
            workers=workers,
            processors=processors,
            artifact_dir=artifact_dir,
            work_dir=work_dir,
            seed=seed,
            calibration_urls=calibration_urls,
            promise=promise_of(load, plan.expectation, workers, processors),
        )
        stack.callback(remove_run_dirs, layout)
        Path(layout.data_dir).mkdir(mode=0o700)
        leave_for_services(layout, plan, work_dir)
        finished = _run_local(layout, plan)
    return report(finished, plan.services.ui)


def _workers_within_reach(plan: Plan, schedule: Sequence[PhasePlan], load: PlannedLoad, origins: Origins) -> int:
    """How many workers carry the load. Raises: PlanError with all that keeps this machine from carrying it."""
    endpoint = plan.endpoint
    urls = endpoint.urls
    if plan.calibration.calibrate_only:
        host = calibration_host(plan)
        urls = (f"http://[{host}]" if host == LOOPBACK_V6 else f"http://{host}",)
    problems = reach_problems(
        sources=source_addresses(endpoint.source_addresses),
        targets=[Target.from_url(url, insecure=True) for url in urls],  # no certificate is looked at here
        connections=connections_at_once(schedule),
        origin=origins.get("source_addresses", DEFAULT),
    )
    try:
        workers = local_worker_count(load, plan.services, this_machine())
    except PlanError as error:
        raise PlanError(*error.problems, *problems) from None
    if problems:
        raise PlanError(*problems)
    return workers


def calibration_host(plan: Plan) -> str:
    """The loopback that a calibration's server listens on: of the family that connections can come from."""
    sources = source_addresses(plan.endpoint.source_addresses)
    return LOOPBACK_V6 if sources and all(":" in source for source in sources) else LOOPBACK


def _run_in_cluster(plan: Plan, run_id: str, seed: int) -> int:
    from aiperf.cli import cluster_run  # loads the Kubernetes client

    if plan.kubernetes.dry_run:
        cluster_run.print_manifests(plan, run_id, seed)
        return ExitCode.DONE
    artifact_dir = make_artifact_dir(plan, plan.results.artifact_dir)
    try:
        return report(cluster_run.run_in_cluster(plan, run_id, seed, artifact_dir), plan.services.ui)
    finally:
        with contextlib.suppress(OSError):  # one that nothing was put into is not left
            artifact_dir.rmdir()


def _run_local(layout: Layout, plan: Plan) -> RunFinished:
    manager = MultiProcessServiceManager(layout, run_service)
    with contextlib.ExitStack() as stack:
        stack.callback(manager.kill)
        manager.start_processes()
        view = open_view(plan.services.ui, sys.stderr)
        stack.callback(view.close)
        logs = f"{layout.artifact_dir}/logs/aiperf.log"
        return asyncio.run(Operator(layout, manager, BusLine(layout), view, logs=logs).run())
