"""What a calibration has found, as plain data: the section `calibration` of a result, and its way between services.

Owns: the form. Does not own: the figures (`own_error`), the course (`aiperf.schedule.calibration`), showing it.
"""

import msgspec


class CalibrationStep(msgspec.Struct, frozen=True, kw_only=True):
    """One load that was tried against the built-in server."""

    step: int
    load: str
    """In words."""
    concurrency: int | None
    request_rate: float | None
    outcome: str
    """`aiperf.schedule.calibration.StepOutcome`."""
    reasons: list[str]
    """Why it was not truthful; empty if it was."""
    errors: dict[str, dict[str, float]]
    """By metric: p50 and p99 of how far this side's value lay from the server's, in ms; and how many were compared."""
    width_p99_ms: float | None
    """How long before its stamp the first chunk may have arrived."""
    dispatch_lag_p99_ms: float | None
    """None in closed loop, and under a cap, where a request may have to wait for a slot."""
    server_lag_p99_ms: float | None
    """How late the built-in server itself was: no fault of this side, but the limit of what it can test."""
    shared_chunk_fraction: float
    """Of chunks without a gap of their own, since they shared a read."""
    request_count: int
    """Answered in full."""
    failed_count: int
    cut_count: int
    request_throughput: float
    """Answers per second of the step."""
    chunk_throughput: float
    credits: dict[str, int]
    """The step's ledger."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What this side adds by itself, and how much it can carry."""

    ttft_ms: float
    """What the built-in server does."""
    itl_ms: float
    tokens_max: int
    duration_s: float
    """Of a step."""
    own_load: str
    """The plan's load, in words."""
    steps: list[CalibrationStep] = []
    """In the order in which they ran; the first one is the plan's own load."""
    largest_truthful_load: str | None = None
    largest_truthful_step: int | None = None
    why_not_more: str = ""
    """Why no larger load is known to be truthful."""
    notes: list[str] = []
    """What limits its meaning."""

    @property
    def own_step(self) -> CalibrationStep | None:
        """At the plan's own load; None if it was not tried to its end."""
        return self.steps[0] if self.steps else None
