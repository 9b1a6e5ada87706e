"""After which time a run has hung."""

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.deploy.kubernetes.run_length import (
    END_S,
    START_S,
    controller_s_max,
    load_s_max,
    namespace_s_max,
    work_s_max,
)
from aiperf.plan.plan import Plan
from aiperf.schedule.phases import PhasePlan, phases


def planned(flags: str) -> tuple[Plan, tuple[PhasePlan, ...]]:
    plan, _ = plan_from_argv(["-m", "m", "-u", "http://llm:8000", "--kubernetes", *flags.split()], {})
    return plan, phases(plan, 1)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--concurrency 10 --duration 300", 330),
        ("--concurrency 10 --duration 300 --request-count 5", 330),
        ("--concurrency 10 --duration 300 --warmup-duration 60 --benchmark-grace-period 10", 380),
        ("--concurrency 10 --request-count 25 --request-timeout-seconds 60", 240),  # three rounds, and one more
        ("--request-rate 10 --request-count 1000 --request-timeout-seconds 60", 160),
        ("--concurrency 10 --duration 300 --calibrate", 330 + 85 + 60),  # ten steps of 8.5 s, and what is between them
        ("--request-rate 10 --concurrency 5 --request-count 1000 --request-timeout-seconds 1", 201),
    ],
)
def test_the_load_ends_whatever_the_server_does(flags: str, expected: int) -> None:
    assert load_s_max(*planned(flags)) == expected


def test_jobs_outlast_start_load_and_export() -> None:
    plan = planned("--concurrency 10 --duration 300 --wait-for-model-timeout 60 --ttl-seconds 120")
    assert work_s_max(*plan) == START_S + 60 + 330 + END_S
    assert controller_s_max(*plan) == work_s_max(*plan) + 120
    served, needed = controller_s_max(*plan), namespace_s_max(*plan)
    assert served is not None
    assert needed is not None
    assert needed > served + 120


def test_results_that_are_kept_for_ever_have_no_end() -> None:
    plan = planned("--concurrency 10 --duration 300 --ttl-seconds none")
    assert controller_s_max(*plan) is None
    assert namespace_s_max(*plan) is None
