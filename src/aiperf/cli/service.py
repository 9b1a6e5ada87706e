"""`aiperf service`: hosts services of a run. Called by child processes and containers, not by people.

Owns: reading the plan and the layout that the starter left in the run directory. Does not own: what the services do.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aiperf.plan.dumps import load_dump, write_private_dump
from aiperf.plan.plan import Plan
from aiperf.service.host import Equipment, log_guest, run_host, start_logging
from aiperf.service.layout import Layout, read_layout, write_layout

PLAN_NAME = "plan.json"
LAYOUT_NAME = "layout.json"
INCARNATION_VARIABLE = "AIPERF_INCARNATION"


def leave_for_services(layout: Layout, plan: Plan, run_dir: Path) -> None:
    """Writes what `run` reads. The plan holds secrets: readable by the user only."""
    write_layout(layout, run_dir / LAYOUT_NAME)
    write_private_dump(plan, run_dir / PLAN_NAME)


def run(argv: Sequence[str]) -> int:
    """Runs one host of the layout as the whole of this process; returns its exit code."""
    parser = argparse.ArgumentParser(prog="aiperf service", description="Hosts services of a run.")
    parser.add_argument("--host", required=True, help="which host of the layout this process is")
    parser.add_argument("--run-dir", required=True, type=Path, help="holds plan and layout")
    parser.add_argument("--parent-pipe", type=int, default=-1, help="descriptor that closes when the starter is gone")
    parser.add_argument(
        "--incarnation",
        type=_sum,
        default=os.environ.get(INCARNATION_VARIABLE, "0"),
        help=f"how often this host was started before, also as a sum (0+1); default: {INCARNATION_VARIABLE}, else 0",
    )
    options = parser.parse_args(argv)
    layout = read_layout(options.run_dir / LAYOUT_NAME)
    plan = load_dump((options.run_dir / PLAN_NAME).read_text())
    log_buffer = start_logging(layout, plan.services.log_level, options.host)
    equipment: Equipment | None = None
    if not layout.shares_disk:
        # Loads the HTTP API, which local hosts do without.
        from aiperf.deploy.kubernetes.endpoint_secrets import with_endpoint_secrets
        from aiperf.deploy.kubernetes.in_pod import pod_equipment

        plan = with_endpoint_secrets(plan, os.environ)
        equipment = pod_equipment(options.host, layout, plan, options.run_dir)
    if log_buffer is not None:
        equipment = equipment or Equipment()
        equipment = replace(equipment, guests=[*equipment.guests, log_guest(log_buffer)])
    return run_host(options.host, layout, plan, options.parent_pipe, equipment, options.incarnation)


def _sum(text: str) -> int:
    """Failures of its own and those that were not its fault are counted apart by whoever starts it; none may be empty.

    Raises: ValueError if a part is no number.
    """
    return sum(int(part or 0) for part in text.split("+"))
