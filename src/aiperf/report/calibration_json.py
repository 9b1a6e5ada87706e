"""The result of `aiperf calibrate` as a file, and back.

Owns: its keys. Does not own: the figures (`aiperf.metrics.calibration`). After a benchmark the same stands in the
summary, under `calibration`.
"""

from pathlib import Path
from typing import Any

import msgspec

from aiperf.errors import InfrastructureError
from aiperf.metrics.calibration import Calibration
from aiperf.report.atomic import write_atomic

FILE_SUFFIX = "_calibration.json"
"""After the export prefix: `profile_export_calibration.json`."""


class CalibrationReport(msgspec.Struct, frozen=True, kw_only=True):
    aiperf_version: str
    benchmark_id: str
    outcome: str
    """`completed`, `interrupted` or `aborted`."""
    reason: str
    calibration: Calibration
    workers: list[str]
    timestamp_source: str
    warnings: list[str]
    input_config: dict[str, Any]


def write_report(path: Path, report: CalibrationReport) -> None:
    """Raises: InfrastructureError if the file cannot be written."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def load_report(path: Path) -> CalibrationReport:
    """Raises: InfrastructureError if the file cannot be read or is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=CalibrationReport)
    except OSError as error:
        raise InfrastructureError(f"Cannot read {path}: {error.strerror or error}.") from error
    except msgspec.MsgspecError as error:
        raise InfrastructureError(f"{path} is no calibration of this version of aiperf: {error}.") from error
