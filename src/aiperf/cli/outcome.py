"""What a benchmark leaves its user: a folder, a table, an exit code.

Owns: the folder's name, what is told in the end. Does not own: the files in it, the table (`report.console`).
"""

import sys
import time
from pathlib import Path

from aiperf.cli.operator import LEFT_ALONE
from aiperf.errors import ExitCode, InfrastructureError
from aiperf.plan.plan import Plan
from aiperf.report.calibration_json import FILE_SUFFIX as CALIBRATION_SUFFIX
from aiperf.report.calibration_json import load_report
from aiperf.report.calibration_text import calibration_table
from aiperf.report.console import print_summary
from aiperf.wire.messages import RunFinished

PART_LENGTH_MAX = 50
"""Characters of a model's name in the folder's: it need only be recognised, and a file name has 255 bytes at most."""


def report(finished: RunFinished, ui: str | None) -> int:
    """The exit code, after the summary or what went wrong was told."""
    if finished.summary_path and ui != "none":
        show_results(Path(finished.summary_path))
    if finished.exit_code not in (ExitCode.DONE, ExitCode.INTERRUPTED):
        print(f"aiperf: error: {finished.reason}", file=sys.stderr)
    elif finished.outcome == LEFT_ALONE:
        if finished.reason:
            print(f"aiperf: {finished.reason}", file=sys.stderr)
    elif finished.exit_code == ExitCode.INTERRUPTED:
        where = "; the results so far are in the artifacts" if finished.summary_path else ""
        print(f"aiperf: interrupted{where}", file=sys.stderr)
    return finished.exit_code


def show_results(path: Path) -> None:
    """Prints what was written there. Raises: InfrastructureError if it cannot be read."""
    if path.name.endswith(CALIBRATION_SUFFIX):
        report = load_report(path)
        sys.stdout.write(calibration_table(report.calibration))
        sys.stdout.writelines(f"Warning: {text}\n" for text in report.warnings)
        sys.stdout.write(f"\nArtifacts  {path}\n")
    else:
        print_summary(path, sys.stdout)


def make_artifact_dir(plan: Plan, within: Path) -> Path:
    """A new folder for this run: `<within>/<model>-<dialect>-<load>-<time>`; `calibration` instead of a model."""
    load = plan.load
    model = "calibration" if plan.calibration.calibrate_only else plan.endpoint.models[0].rsplit("/", 1)[-1]
    parts = [model, plan.endpoint.endpoint_type]
    if load.concurrency is not None:
        parts.append(f"concurrency{load.concurrency}")
    if load.request_rate is not None:
        parts.append(f"rate{load.request_rate:g}")
    name = "-".join("".join(c if c.isalnum() or c in "._-" else "_" for c in part)[:PART_LENGTH_MAX] for part in parts)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for attempt in range(100):
        path = within / f"{name}-{stamp}{f'-{attempt}' if attempt else ''}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InfrastructureError(f"cannot create the artifact directory {path}: {error.strerror}") from error
        return path.resolve()
    raise InfrastructureError(f"cannot find a free name for the artifact directory {path}")
