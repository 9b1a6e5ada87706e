"""How a run ends: its outcome, why, and the exit code of the command.

Owns: those, and what follows when nothing succeeded. Does not own: what brings the end about (`run_lifecycle`). Pure.
"""

from aiperf.errors import ExitCode
from aiperf.wire.messages import ResultsExported, RunFinished

COMPLETED = "completed"


class RunEnd:
    """Of one run. Until something else is said it completes as planned."""

    def __init__(self, *, require_valid: bool = False) -> None:
        """`require_valid`: a verdict of `invalid` is a failure of its own."""
        self.outcome = COMPLETED
        self.reason = ""
        self._exit_code = ExitCode.DONE
        self._require_valid = require_valid
        self.is_refused = False
        """The verdict is not what was required."""

    @property
    def is_as_planned(self) -> bool:
        return self.outcome == COMPLETED

    def interrupt(self, reason: str) -> None:
        """Somebody wants it to end. Whatever ended it before stands."""
        if self.is_as_planned:
            self.outcome, self.reason, self._exit_code = "interrupted", reason, ExitCode.INTERRUPTED

    def abort(self, reason: str, code: ExitCode) -> None:
        """It makes no sense any more."""
        self.outcome, self.reason, self._exit_code = "aborted", reason, code

    def without_results(self) -> RunFinished:
        return RunFinished(int(self._exit_code), self.outcome, self.reason, "", "")

    def with_results(self, exported: ResultsExported) -> RunFinished:
        code, reason = self._exit_code, self.reason
        if exported.completed_count == 0 and code is not ExitCode.INTERRUPTED:
            code = ExitCode.BENCHMARK_FAILED
            because = f": {exported.first_error}" if exported.first_error else ""
            reason = f"no request succeeded{because}" + (f" ({reason})" if reason else "")
        elif self._require_valid and exported.verdict == "invalid" and code is ExitCode.DONE:
            self.is_refused, code = True, ExitCode.NOT_VALID
            reason = f"the verdict is invalid, and --require-valid was given: {exported.heaviest_reason}"
        return RunFinished(int(code), self.outcome, reason, exported.artifact_dir, exported.summary_path)
