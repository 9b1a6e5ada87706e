"""The Plan's section on how fast the service is expected to be.

Owns: its fields, and how long a request takes by them. Does not own: what is planned from it (`aiperf.deploy`), whether
it came true (`aiperf.metrics.promise_kept`).

It changes nothing that is sent. Durations carry their unit in the value.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator as Checked

from aiperf.plan.durations import duration_ns, duration_text
from aiperf.plan.section import Section, option
from aiperf.units import NS_PER_S

Duration = Annotated[str, Checked(duration_text)]


class ExpectationPlan(Section):
    """What you expect of service and machine. Nothing is sent otherwise: sizes and the promise follow from it."""

    expected_ttft: Annotated[
        Duration | None,
        option("Time to first token that you expect on average, such as 500ms.", "--ttft", metavar="DURATION"),
    ] = None
    expected_itl: Annotated[
        Duration | None,
        option("Inter-token latency that you expect on average, such as 30ms.", "--itl", metavar="DURATION"),
    ] = None

    costs_from: Annotated[
        Path | None,
        option(
            "Summary (profile_export_aiperf.json) of a run on such a machine: CPU times are scaled by what it needed.",
            "--costs-from",
        ),
    ] = None

    @property
    def ttft_s(self) -> float | None:
        return None if self.expected_ttft is None else duration_ns(self.expected_ttft) / NS_PER_S

    @property
    def itl_s(self) -> float | None:
        return None if self.expected_itl is None else duration_ns(self.expected_itl) / NS_PER_S

    def request_s(self, output_tokens: int) -> float | None:
        """How long a request with so many output tokens is expected to take; None if nothing is expected.

        Of an answer of one token, the TTFT says it; of a longer one, both are needed.
        """
        if self.ttft_s is None or (output_tokens > 1 and self.itl_s is None):
            return None
        return self.ttft_s + max(0, output_tokens - 1) * (self.itl_s or 0.0)
