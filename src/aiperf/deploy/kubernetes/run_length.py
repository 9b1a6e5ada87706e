"""How long a run may take at most, from its plan: what makes a hung run end.

Owns: the bound of each phase, and of the Jobs. Does not own: when a run should end (`aiperf.service.run_lifecycle`).
"""

import math
from collections.abc import Sequence

from aiperf.plan.plan import Plan
from aiperf.schedule.calibration import calibration_of
from aiperf.schedule.phases import PhasePlan
from aiperf.units import NS_PER_S

START_S = 900
"""For scheduling, pulling the image, compiling and spreading the dataset."""
CALIBRATION_MARGIN_S = 60
"""Between its steps, records are fetched home and judged."""
END_S = 900
"""For records still to be processed, and the export."""


def load_s_max(plan: Plan, phases: Sequence[PhasePlan]) -> int:
    """The longest that all phases together can take, whatever the server does."""
    calibration = calibration_of(plan)
    calibration_s = calibration.total_s_max + CALIBRATION_MARGIN_S if calibration else 0
    return calibration_s + sum(math.ceil(_phase_s_max(phase, plan.endpoint.request_timeout_s)) for phase in phases)


def _phase_s_max(phase: PhasePlan, request_timeout_s: float) -> float:
    if phase.duration_ns is not None:
        return (phase.duration_ns + phase.grace_ns) / NS_PER_S
    count = phase.request_count or 0
    sending_s = 0.0 if phase.rate_rps is None else count / phase.rate_rps
    if phase.concurrency is None:
        return sending_s + request_timeout_s
    # Every slot may wait for its time limit again and again: a round of them for each share of the count.
    return max(sending_s, math.ceil(count / phase.concurrency) * request_timeout_s) + request_timeout_s


def work_s_max(plan: Plan, phases: Sequence[PhasePlan]) -> int:
    """From the first pod to the last byte of the results."""
    return START_S + math.ceil(plan.endpoint.wait_for_model_timeout_s) + load_s_max(plan, phases) + END_S


def controller_s_max(plan: Plan, phases: Sequence[PhasePlan]) -> int | None:
    """The same with the time that results are served; None if that is for ever."""
    ttl_s = plan.kubernetes.ttl_s
    return None if ttl_s == "none" else work_s_max(plan, phases) + ttl_s


def namespace_s_max(plan: Plan, phases: Sequence[PhasePlan]) -> int | None:
    """How long a namespace made for the run is needed at most, removal of finished Jobs included; None: for ever."""
    ttl_s, served_s = plan.kubernetes.ttl_s, controller_s_max(plan, phases)
    return None if ttl_s == "none" or served_s is None else served_s + ttl_s + END_S
