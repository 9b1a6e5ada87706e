"""Waiting for the model before the load, in virtual time."""

import asyncio
from itertools import pairwise

import pytest

from aiperf.deploy.line import SILENCE_LIMIT_S
from aiperf.errors import ExitCode
from aiperf.plan.plan import EndpointPlan
from aiperf.wire.messages import StopRun

pytestmark = [pytest.mark.looptime]

PROBE = -1
"""The phase of requests that are in none."""


def waiting(timeout_s, mode="inference", **more) -> EndpointPlan:
    return EndpointPlan(models=("m",), wait_for_model_timeout_s=timeout_s, wait_for_model_mode=mode, **more)


def now_s() -> float:
    return asyncio.get_running_loop().time()


def probes(run) -> list:
    return [exchange for exchange in run.server.sent if exchange.phase == PROBE]


async def test_the_load_begins_when_the_model_answers_and_probes_are_in_no_result(benchmark_run):
    run = benchmark_run()
    run.server.fails = lambda n: now_s() < 7
    finished = await run.run(endpoint=waiting(60), concurrency=2, request_count=20, workers=3)
    assert finished.exit_code == ExitCode.DONE
    asked = probes(run)
    assert len(asked) == 8
    assert all(exchange.body for exchange in asked)
    assert min(x.dispatched_ns for x in run.server.sent if x.phase != PROBE) >= max(x.end_ns for x in asked)
    assert [credit for credit, _, _ in run.stream()] == list(range(20))
    assert run.summary["credits"]["issued"] == len(run.lines) == 20
    assert run.summary["error_request_count"]["avg"] == 0
    assert run.notices == ["waiting for the model: http_status 503: busy", "the model answers, after 7 s"]


async def test_probes_say_by_their_ids_what_they_are(benchmark_run):
    run = benchmark_run()
    run.server.fails = lambda n: n < 2
    await run.run(endpoint=waiting(60), concurrency=1, request_count=10)
    assert [b"X-Request-ID: run-wait-for-model-%d\r\n" % n in x.head for n, x in enumerate(probes(run), 1)] == [
        True
    ] * 3
    assert not any(b"wait-for-model" in x.head for x in run.server.sent if x.phase != PROBE)


async def test_a_model_that_answers_at_once_costs_one_request_and_no_word(benchmark_run):
    run = benchmark_run()
    assert (await run.run(endpoint=waiting(60), concurrency=2, request_count=10, workers=2)).exit_code == ExitCode.DONE
    assert (len(probes(run)), run.notices) == (1, [])


async def test_a_model_that_never_answers_ends_the_run_before_any_load(benchmark_run):
    run = benchmark_run()
    run.server.fails = lambda n: True
    finished = await run.run(endpoint=waiting(90), concurrency=2, request_count=20, workers=2)
    assert finished.exit_code == ExitCode.BENCHMARK_FAILED
    assert finished.reason == "the model did not answer within 90 s: http_status 503: busy"
    assert 90 <= now_s() < 91
    assert len(probes(run)) == len(run.server.sent) == 90
    assert len(run.notices) == 3
    assert run.notices[-1].startswith("still waiting for the model after 60 s")


async def test_a_model_that_is_silent_ends_the_run_too(benchmark_run):
    run = benchmark_run()
    run.server.latency_ms = lambda n: 1e9
    finished = await run.run(endpoint=waiting(200), concurrency=2, request_count=20)
    assert finished.reason == "the model did not answer within 200 s: no answer for 200 s"
    assert len(run.server.sent) == 1
    assert run.server.in_flight == 0


async def test_the_controller_is_heard_of_while_there_is_nothing_to_report(benchmark_run):
    run = benchmark_run()
    run.server.latency_ms = lambda n: 200_000 if n == 0 else 100
    await run.run(endpoint=waiting(600), concurrency=2, request_count=20)
    assert now_s() > 200
    assert max(later - earlier for earlier, later in pairwise(run.heard_s)) < SILENCE_LIMIT_S / 10


@pytest.mark.parametrize("latency_ms", [100, 1e9])
async def test_ctrl_c_while_waiting_ends_at_once(benchmark_run, latency_ms):
    run = benchmark_run()
    run.server.fails = lambda n: True
    run.server.latency_ms = lambda n: 100 if n < 1 else latency_ms
    stopped_s = []

    def stop_a_little_later(notice, seat) -> None:
        def stop() -> None:
            stopped_s.append(now_s())
            seat.send(StopRun(now=False, reason="interrupted by the user"))

        asyncio.get_running_loop().call_later(5.5, stop)

    run.on_notice = stop_a_little_later
    finished = await run.run(endpoint=waiting(600), concurrency=2, request_count=20, workers=2)
    assert (finished.exit_code, finished.outcome) == (ExitCode.INTERRUPTED, "interrupted")
    assert now_s() - stopped_s[0] < 0.1
    assert len(probes(run)) == len(run.server.sent)


async def test_both_asks_each_url_for_its_models_and_for_an_answer(benchmark_run):
    run = benchmark_run()
    urls = ("http://a", "http://b/base/v1", "http://c/v1/chat/completions")
    await run.run(endpoint=waiting(60, "both", urls=urls), concurrency=1, request_count=10)
    asked = [(x.url_index, *x.head.split(b" HTTP", 1)[0].split(), bool(x.body)) for x in probes(run)]
    chat = b"/v1/chat/completions"
    assert asked == [
        (0, b"GET", b"/v1/models", False),
        (0, b"POST", chat, True),
        (1, b"GET", b"/base/v1/models", False),
        (1, b"POST", b"/base" + chat, True),
        (2, b"GET", b"/v1/models", False),
        (2, b"POST", chat, True),
    ]
    assert run.notices == []


async def test_a_model_that_is_not_listed_is_a_notice_that_lasts(benchmark_run):
    run = benchmark_run()
    run.server.models = ["n"]
    finished = await run.run(endpoint=waiting(60, "models"), concurrency=1, request_count=10)
    assert finished.exit_code == ExitCode.DONE
    said = "the server's list of models does not name m; it names n"
    assert run.notices == [said]
    assert said in run.progress[-1].notices


async def test_without_the_flag_nothing_is_asked(benchmark_run):
    run = benchmark_run()
    await run.run(concurrency=1, request_count=10)
    assert probes(run) == []
