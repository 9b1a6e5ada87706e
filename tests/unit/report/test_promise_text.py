"""When the promise is told, and how."""

from collections.abc import Callable

from aiperf.metrics.promise_kept import PromiseKept, PromiseRow
from aiperf.metrics.summary import Summary
from aiperf.report.console import console_text
from aiperf.report.promise_text import promise_parts
from aiperf.report.summary_json import document_of, summary_from


def row(promised: float, reached: float | None, unit: str, *, missed: bool = False) -> PromiseRow:
    ratio = None if reached is None else reached / promised
    return PromiseRow(promised=promised, reached=reached, unit=unit, ratio=ratio, missed=missed)


def kept(expects: bool = False, **rows: PromiseRow) -> PromiseKept:
    return PromiseKept(rows=rows, missed=[name for name, each in rows.items() if each.missed], expects=expects)


FINE = {"worker_cpu_s": row(4, 3.21, "CPU-s"), "time_to_first_token": row(200, 201.2, "ms")}


def test_a_promise_that_was_kept_is_told_to_who_expected_something() -> None:
    assert promise_parts(None) == promise_parts(kept(**FINE)) == []
    assert promise_parts(kept(expects=True, **FINE)) == ["kept", "TTFT 201 of 200 ms"]


def test_what_was_missed_is_told_in_any_case_with_its_size() -> None:
    missed = {"worker_cpu_s": row(2, 4.1, "CPU-s", missed=True), "workers": row(3, 2, "workers", missed=True)}
    assert promise_parts(kept(**FINE | missed)) == [
        "missed",
        "worker CPU 4.1 of 2 s (2.05 x)",
        "workers 2 of 3 (0.67 x)",
    ]


def test_cpus_are_not_told_beside_cpu_seconds() -> None:
    cpus = {"worker_cpus": row(0.1, 0.3, "CPUs", missed=True)}
    assert promise_parts(kept(**cpus)) == []


def test_it_stands_in_the_table_and_survives_the_file(make_summary: Callable[..., Summary]) -> None:
    summary = make_summary(promise=kept(expects=True, **FINE))
    assert "Promise     kept · TTFT 201 of 200 ms" in console_text(summary, 100)
    assert summary_from(document_of(summary)).promise == summary.promise
    assert "Promise" not in console_text(make_summary(), 100)
