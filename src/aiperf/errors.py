"""The one error tree. What a user can cause ends here, as text that says what happened, where and what to do.

Owns: the exceptions that end a command with a stated exit code, and those codes. Does not own: failures of single
requests. Those are records (`aiperf.record.facts`), never exceptions.
"""

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its caller. Documented in README.md; scripts depend on the numbers."""

    DONE = 0
    BENCHMARK_FAILED = 1
    USAGE = 2
    INFRASTRUCTURE = 3
    THRESHOLD_CROSSED = 4
    NOT_VALID = 5
    BUG = 70
    DISMISSED = 75
    """Of a host only: its service was told to leave before the run is over. It is lost, and may be started again.
    Source: EX_TEMPFAIL of sysexits.h, "the user is invited to retry"."""
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141
    """Nobody read what was printed on (`aiperf … | head`): as for any program that SIGPIPE ends."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with what the user asked for: what, where it came from, what to do about it."""

    what: str
    origin: str = ""
    """Where the value came from: `--concurrency`, `AIPERF_CONCURRENCY`, `bench.yaml: load.concurrency`."""
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.origin}: " if self.origin else ""
        return f"{where}{self.what}" + (f"\n    {self.hint}" if self.hint else "")


class AIPerfError(Exception):
    """The root: shown to the user as its text, without a traceback; ends the command with `exit_code`."""

    exit_code = ExitCode.BUG


class PlanError(AIPerfError):
    """What was asked for cannot be run. Carries every problem found, so that one round of mending is enough."""

    exit_code = ExitCode.USAGE

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class BenchmarkError(AIPerfError):
    """The load was attempted and gave no result to report: no request succeeded, or the controller was lost."""

    exit_code = ExitCode.BENCHMARK_FAILED


class InfrastructureError(AIPerfError):
    """Something aiperf itself needs failed: a process that will not start, a full disk, a taken port."""

    exit_code = ExitCode.INFRASTRUCTURE


class ClusterError(InfrastructureError):
    """A Kubernetes cluster refused something, or cannot be reached. `reason` is the API's own word for it."""

    def __init__(self, what: str, hint: str = "", *, reason: str = "") -> None:
        super().__init__(f"{what}\n    {hint}" if hint else what)
        self.what = what
        self.hint = hint
        self.reason = reason
        """`Forbidden`, `NotFound`, `AlreadyExists`, `Invalid` …; empty if the API did not answer."""
