"""Calibrations in virtual time: the server's account is a formula, and so is this side's error."""

import json

import pytest

from aiperf.errors import ExitCode
from aiperf.plan.calibration import CalibrationPlan
from aiperf.plan.plan import WarmupPlan
from aiperf.schedule.phases import PhaseKind, kind_of
from aiperf.wire.messages import HostLost, StopRun

pytestmark = [pytest.mark.looptime]

QUICK = CalibrationPlan(calibrate=True, calibrate_duration_s=1, calibrate_ttft="100ms", calibrate_itl="20ms")
ALONE = QUICK.model_copy(update={"calibrate": False, "calibrate_only": True})


def fails_above(limit: int):
    """An error that shows when more requests than that are in flight."""
    return lambda in_flight: 5 if in_flight > limit else 0.01


def kinds(run) -> list[PhaseKind]:
    """The kinds of phases in the order in which their requests were sent."""
    return list(dict.fromkeys(kind_of(exchange.phase) for exchange in run.server.sent))


async def test_a_calibration_comes_first_and_is_in_no_result_of_the_load(benchmark_run):
    run = benchmark_run()
    run.server.own_error_ms = fails_above(10)
    finished = await run.run(
        concurrency=2, request_count=20, calibration=QUICK, warmup=WarmupPlan(warmup_request_count=4), workers=2
    )
    assert (finished.exit_code, finished.outcome) == (ExitCode.DONE, "completed")
    assert kinds(run) == [PhaseKind.CALIBRATION, PhaseKind.WARMUP, PhaseKind.PROFILING]
    summary = run.summary
    assert summary["request_count"]["avg"] == summary["records"]["records"] == len(run.lines) == 20
    assert summary["credits"]["issued"] == 20
    assert summary["verdict"]["status"] == "valid"
    assert "calibration" not in {line["metadata"]["benchmark_phase"] for line in run.lines}


async def test_the_largest_truthful_load_is_closed_in_upon(benchmark_run):
    run = benchmark_run()
    run.server.own_error_ms = fails_above(10)
    await run.run(concurrency=2, request_count=4, calibration=QUICK, workers=2)
    found = run.summary["calibration"]
    assert [step["concurrency"] for step in found["steps"]] == [2, 4, 8, 16, 11, 9]
    assert [step["outcome"] for step in found["steps"]] == ["truthful"] * 3 + ["untruthful"] * 2 + ["truthful"]
    assert found["largest_truthful_load"] == "concurrency 9"
    assert "at concurrency 11: request latency is 5 ms off" in found["why_not_more"]
    assert found["steps"][0]["errors"]["request_latency"]["p99"] == pytest.approx(0.01, rel=0.01)


async def test_every_step_is_measured_whole(benchmark_run):
    """The records of all workers and processors are in before the next step begins."""
    run = benchmark_run()
    run.server.own_error_ms = fails_above(10)
    await run.run(concurrency=4, request_count=4, calibration=QUICK, workers=3, processors=2)
    for step in run.summary["calibration"]["steps"]:
        sent = [exchange for exchange in run.server.sent if exchange.phase == 2 + 8 * step["step"]]
        assert step["request_count"] == step["credits"]["completed"] == step["credits"]["issued"] == len(sent)
        assert step["errors"]["request_latency"]["count"] == len(sent)


async def test_requests_of_a_calibration_go_to_its_own_server_and_have_ids_of_their_own(benchmark_run):
    run = benchmark_run()
    run.server.own_error_ms = fails_above(2)
    await run.run(concurrency=2, request_count=4, calibration=QUICK)
    targets = {kind_of(exchange.phase): exchange.url_index for exchange in run.server.sent}
    assert targets == {PhaseKind.CALIBRATION: 1, PhaseKind.PROFILING: 0}
    heads = [exchange.head for exchange in run.server.sent]
    assert len(set(heads)) == len(heads)


async def test_a_rate_is_raised_as_a_rate(benchmark_run):
    run = benchmark_run()
    run.server.own_error_ms = fails_above(30)
    await run.run(request_rate=50, arrival_pattern="constant", request_count=10, calibration=QUICK)
    rates = [step["request_rate"] for step in run.summary["calibration"]["steps"]]
    assert rates[:3] == [50, 100, 200]
    assert all(step["concurrency"] is None for step in run.summary["calibration"]["steps"])


async def test_a_calibration_alone_needs_no_load(benchmark_run):
    run = benchmark_run()
    run.server.own_error_ms = fails_above(10)
    finished = await run.run(concurrency=2, request_count=20, calibration=ALONE)
    assert (finished.exit_code, finished.outcome) == (ExitCode.DONE, "completed")
    assert kinds(run) == [PhaseKind.CALIBRATION]
    report = json.loads((run.folder / "profile_export_calibration.json").read_text())
    assert finished.summary_path.endswith("profile_export_calibration.json")
    assert report["calibration"]["largest_truthful_load"] == "concurrency 9"
    assert not (run.folder / "profile_export_aiperf.json").exists()


async def test_the_live_view_says_which_step_runs(benchmark_run):
    run = benchmark_run()
    run.server.own_error_ms = fails_above(2)
    await run.run(concurrency=2, request_count=40, calibration=QUICK)
    states = list(dict.fromkeys(progress.state for progress in run.progress))
    assert "calibrating, step 1 (concurrency 2)" in states
    assert any(text.startswith("calibration against the built-in server") for text in run.notices)


@pytest.mark.parametrize(("calibration", "code"), [(QUICK, ExitCode.DONE), (ALONE, ExitCode.BENCHMARK_FAILED)])
async def test_without_its_server_a_calibration_is_given_up_and_what_else_was_asked_for_goes_on(
    benchmark_run, calibration, code
):
    run = benchmark_run()
    told = []

    def lose(progress, seat):
        if not told:
            told.append(seat.send(HostLost("calibration-server-0", "its process was killed by SIGKILL")))

    run.on_progress = lose
    finished = await run.run(concurrency=2, request_count=4, calibration=calibration)
    assert finished.exit_code == code
    if calibration is QUICK:
        assert run.summary["request_count"]["avg"] == 4
        assert any("the calibration was given up" in text for text in run.summary["warnings"])
        assert "the calibration was given up" in run.summary["calibration"]["why_not_more"]
    else:
        assert "the calibration was given up" in finished.reason


@pytest.mark.parametrize("calibration", [QUICK, ALONE])
async def test_an_interrupted_calibration_reports_the_steps_that_were_whole(benchmark_run, calibration):
    run = benchmark_run()

    def stop(progress, seat):
        if progress.state.startswith("calibrating, step 2"):
            seat.send(StopRun(False, "interrupted"))

    run.on_progress = stop
    finished = await run.run(concurrency=2, request_count=4, calibration=calibration)
    assert (finished.exit_code, finished.outcome) == (ExitCode.INTERRUPTED, "interrupted")
    assert kinds(run) == [PhaseKind.CALIBRATION]
    name = "aiperf" if calibration is QUICK else "calibration"
    found = json.loads((run.folder / f"profile_export_{name}.json").read_text())["calibration"]
    assert [step["load"] for step in found["steps"]] == ["concurrency 2"]


async def test_a_server_that_answers_nothing_ends_the_calibration_at_once(benchmark_run):
    run = benchmark_run()
    run.server.fails = lambda n: n < 1_000 and not any(kind_of(x.phase) is PhaseKind.PROFILING for x in run.server.sent)
    finished = await run.run(concurrency=2, request_count=4, calibration=QUICK)
    assert finished.exit_code == ExitCode.DONE
    (step,) = run.summary["calibration"]["steps"]
    assert step["outcome"] == "unanswered"
    assert run.summary["calibration"]["largest_truthful_load"] is None
