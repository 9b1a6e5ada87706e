"""The end of a run that was nothing but a calibration: what it has found, as a file.

Owns: which file. Does not own: what stands in it (`aiperf.report.calibration_json`), the results of a load
(`result_export`).
"""

from pathlib import Path

from aiperf import __version__
from aiperf.plan.dumps import public_dump
from aiperf.plan.plan import Plan
from aiperf.report.calibration_json import FILE_SUFFIX, CalibrationReport, write_report
from aiperf.service.layout import Layout
from aiperf.wire.messages import ExportResults, ResultsExported


def export_calibration(order: ExportResults, layout: Layout, plan: Plan, timestamp_source: str) -> ResultsExported:
    """Writes the file; says where it is. Raises: InfrastructureError if it cannot be written."""
    found = order.calibration
    assert found is not None
    path = Path(layout.artifact_dir) / (plan.results.export_prefix + FILE_SUFFIX)
    report = CalibrationReport(
        aiperf_version=__version__,
        benchmark_id=layout.run_id,
        outcome=order.outcome,
        reason=order.reason,
        calibration=found,
        workers=list(order.workers.values()),
        timestamp_source=timestamp_source,
        warnings=list(order.warnings),
        input_config=public_dump(plan),
    )
    write_report(path, report)
    return ResultsExported(
        artifact_dir=layout.artifact_dir,
        summary_path=str(path),
        completed_count=sum(step.request_count for step in found.steps),
        failed_count=sum(step.failed_count for step in found.steps),
        verdict="",
        first_error="; ".join(found.steps[0].reasons) if found.steps else found.why_not_more,
    )
