"""The Plan's section on calibrations: this side against a server of known latency.

Owns: its fields. Does not own: what a calibration does with them (`aiperf.schedule.calibration`), checks across fields
(`checks`).
"""

from typing import Annotated

from pydantic import AfterValidator as Checked

from aiperf.plan.durations import duration_text
from aiperf.plan.numbers import Seconds
from aiperf.plan.section import Section, option


class CalibrationPlan(Section):
    """A test of this side, before the load: the same load against a built-in server of known latency."""

    calibrate: Annotated[
        bool,
        option(
            "Before the load, find out what this side itself adds, and how much it can carry. Takes a minute or so.",
            "--calibrate",
        ),
    ] = False  # fmt: skip
    calibrate_only: Annotated[
        bool,
        option("Do that and nothing else, as `aiperf calibrate` does: no endpoint is needed.", "--calibrate-only"),
    ] = False
    calibrate_duration_s: Annotated[
        Seconds,
        option("How long each load is tried.", "--calibrate-duration"),
    ] = 5
    calibrate_ttft: Annotated[
        Annotated[str, Checked(duration_text)],
        option("Time to first token of the built-in server.", "--calibrate-ttft", metavar="DURATION"),
    ] = "200ms"
    calibrate_itl: Annotated[
        Annotated[str, Checked(duration_text)],
        option("Time between chunks of the built-in server.", "--calibrate-itl", metavar="DURATION"),
    ] = "20ms"
