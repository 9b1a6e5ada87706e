"""Workers that come late, leave early, are lost and replaced: all is accounted for, and the results say so."""

import asyncio
import json

import msgspec
import pytest

from aiperf.errors import ExitCode
from aiperf.service import wiring
from aiperf.service.layout import ServiceType
from aiperf.wire.memory_wire import MemoryPort
from aiperf.wire.messages import CreditBatch, CreditReturns, EndCredits, PreparePhase, decode

pytestmark = [pytest.mark.looptime]


def assert_reconciled(summary: dict) -> None:
    credits, records = summary["credits"], summary["records"]
    assert credits["issued"] == sum(credits[name] for name in ("completed", "failed", "cancelled", "censored", "lost"))
    assert credits["completed"] + credits["failed"] == records["records"] + records["lost"]


def of_worker(summary: dict, service_id: str) -> dict:
    (row,) = (row for row in summary["workers"] if row["service_id"] == service_id)
    return row


def reasons(summary: dict) -> set[str]:
    return {reason["rule"] for reason in summary["verdict"]["reasons"]}


async def test_a_run_begins_with_the_stated_minimum_and_says_who_was_not_there(benchmark_run):
    run = benchmark_run()
    finished = await run.run(
        workers=3, in_pods=True, min_workers=2, absent=["worker-2", "record-processor-2"], concurrency=4, duration_s=2
    )
    assert finished.exit_code == ExitCode.DONE
    summary = run.summary
    assert summary["run_info"]["workers_at_start"] == 2
    assert summary["run_info"]["workers_joined_late"] == []
    assert any("began with 2 of 3 workers" in warning for warning in summary["warnings"])
    assert summary["request_count"]["avg"] == 4 * 20
    assert [row["service_id"] for row in summary["workers"]] == ["worker-0", "worker-1"]


@pytest.mark.parametrize("load", [{"concurrency": 6}, {"request_rate": 60, "arrival_pattern": "constant"}])
async def test_a_latecomer_gets_load_from_then_on(benchmark_run, load):
    async def come_late(hosts):
        await asyncio.sleep(3)
        hosts.start("record-processor-2")
        hosts.start("worker-2")

    run = benchmark_run()
    # Two workers hold four connections: two slots of six are placed when the third comes.
    await run.run(
        workers=3, in_pods=True, min_workers=2, absent=["worker-2", "record-processor-2"], happenings=come_late,
        connections_max=2 if "concurrency" in load else 100, duration_s=8, **load,
    )  # fmt: skip
    summary = run.summary
    assert summary["run_info"]["workers_joined_late"] == ["worker-2"]
    assert of_worker(summary, "worker-2")["completed_count"] >= 60
    assert_reconciled(summary)
    assert ("slots" in reasons(summary)) is ("concurrency" in load)
    assert len(run.lines) == len(run.server.sent)
    assert {line["metadata"]["worker_id"] for line in run.lines} == {f"worker-{n}" for n in range(3)}


async def test_a_replacement_is_a_new_worker_and_takes_slots_that_nobody_could_hold(benchmark_run):
    async def lose_and_replace(hosts):
        await asyncio.sleep(2)
        hosts.tell_to_leave("worker-1")
        await asyncio.sleep(2)
        hosts.kill("record-processor-1")
        hosts.start("record-processor-1", incarnation=1)
        hosts.start("worker-1", incarnation=1)

    run = benchmark_run()
    finished = await run.run(
        workers=2, in_pods=True, happenings=lose_and_replace, connections_max=3, concurrency=6, duration_s=8
    )
    assert finished.exit_code == ExitCode.DONE
    summary = run.summary
    assert [(row["worker_index"], row["service_id"]) for row in summary["workers"]] == [
        (0, "worker-0"), (1, "worker-1"), (2, "worker-1.1"),
    ]  # fmt: skip
    assert summary["run_info"]["workers_joined_late"] == ["worker-1.1"]
    assert of_worker(summary, "worker-1.1")["completed_count"] >= 3 * 30
    assert "SIGTERM" in of_worker(summary, "worker-1")["lost_reason"]
    assert summary["verdict"]["status"] != "valid"
    assert {"lost_workers", "slots"} <= reasons(summary)
    assert_reconciled(summary)
    assert {line["metadata"]["worker_id"] for line in run.lines} == {"worker-0", "worker-1", "worker-1.1"}


async def test_a_worker_lost_before_the_load_is_replaced_and_costs_nothing(benchmark_run):
    async def replace(hosts):
        await asyncio.sleep(20)
        hosts.start("record-processor-1", incarnation=1)
        hosts.start("worker-1", incarnation=1)

    run = benchmark_run()
    finished = await run.run(
        workers=2, in_pods=True, absent=["worker-1", "record-processor-1"], happenings=replace, concurrency=2,
        duration_s=2,
    )  # fmt: skip
    assert finished.exit_code == ExitCode.DONE
    assert any("still waiting for record-processor-1, worker-1" in notice for notice in run.notices)
    assert run.summary["verdict"]["status"] == "valid"
    assert [row["service_id"] for row in run.summary["workers"]] == ["worker-0", "worker-1.1"]


async def test_a_worker_that_leaves_hands_over_what_ends_and_others_send_what_it_had_in_hand(benchmark_run):
    async def evict(hosts):
        await asyncio.sleep(2.05)
        hosts.tell_to_leave("worker-1")

    run = benchmark_run()
    await run.run(workers=2, in_pods=True, happenings=evict, concurrency=4, request_count=200)
    summary = run.summary
    assert "its process was told to end by SIGTERM" in of_worker(summary, "worker-1")["lost_reason"]
    assert [credit for credit, _, _ in run.stream()] == list(range(200))
    assert (summary["credits"]["completed"], summary["credits"]["lost"]) == (200, 0)
    assert summary["records"]["records"] == len(run.lines) == 200
    assert summary["verdict"]["status"] == "degraded"
    assert "lost_workers" in reasons(summary)
    assert_reconciled(summary)


async def test_what_a_leaving_worker_has_in_flight_is_lost_and_nothing_else(benchmark_run):
    async def evict(hosts):
        await asyncio.sleep(2.05)
        hosts.tell_to_leave("worker-1")

    run = benchmark_run()
    run.server.latency_ms = lambda n: 100 if n < 40 else 5_000
    await run.run(workers=2, in_pods=True, happenings=evict, concurrency=4, request_count=60)
    summary = run.summary
    assert len(run.server.sent) == 60
    assert (summary["credits"]["completed"], summary["credits"]["lost"]) == (58, 2)
    assert summary["verdict"]["status"] == "degraded"
    assert_reconciled(summary)


async def test_a_worker_leaves_with_its_record_processor_and_both_are_replaced(benchmark_run):
    async def lose_sidecar(hosts):
        await asyncio.sleep(2)
        hosts.kill("record-processor-1")
        hosts.start("record-processor-1")  # the kubelet starts the container again, under the same name
        await hosts.ended("worker-1")
        assert hosts.is_dismissed("worker-1"), "so its process ends with a code that has it replaced"
        await asyncio.sleep(2)
        hosts.start("record-processor-1", incarnation=1)
        hosts.start("worker-1", incarnation=1)

    run = benchmark_run()
    finished = await run.run(workers=2, in_pods=True, happenings=lose_sidecar, concurrency=4, duration_s=8)
    assert finished.exit_code == ExitCode.DONE
    summary = run.summary
    # What it had in flight ended, and was handed back; only the records are lost, of that and of the last moment.
    assert summary["credits"]["lost"] == 0
    assert summary["credits"]["completed"] == len(run.server.sent)
    assert 0 < summary["records"]["lost"] < 2 * 15
    assert_reconciled(summary)
    assert of_worker(summary, "worker-1")["lost_reason"] == "record-processor-1 beside it was lost"
    assert of_worker(summary, "worker-1.1")["completed_count"] >= 2 * 25
    told = [text for text in summary["warnings"] if " was lost" in text]
    assert told == ["record-processor-1 was lost: it was started again; worker-1 beside it leaves, too"]


async def test_without_any_worker_the_load_waits_for_a_replacement(benchmark_run):
    async def lose_and_replace(hosts):
        await asyncio.sleep(2)
        hosts.tell_to_leave("worker-0")
        await asyncio.sleep(20)
        hosts.kill("record-processor-0")
        hosts.start("record-processor-0", incarnation=1)
        hosts.start("worker-0", incarnation=1)

    run = benchmark_run()
    finished = await run.run(workers=1, in_pods=True, happenings=lose_and_replace, concurrency=4, request_count=400)
    assert finished.exit_code == ExitCode.DONE
    summary = run.summary
    assert [credit for credit, _, _ in run.stream()] == list(range(400))
    assert (summary["credits"]["completed"], summary["credits"]["lost"]) == (400, 0)
    assert any(
        "no worker is left: the load waits for a replacement, up to 60 s" in text for text in summary["warnings"]
    )
    assert {"lost_workers", "slots"} <= reasons(summary)
    assert_reconciled(summary)


async def test_without_any_worker_and_in_vain_the_load_ends_with_what_there_is(benchmark_run):
    async def lose(hosts):
        await asyncio.sleep(2)
        hosts.tell_to_leave("worker-0")

    run = benchmark_run()
    finished = await run.run(workers=1, in_pods=True, happenings=lose, concurrency=4, request_count=4000)
    assert finished.exit_code == ExitCode.BENCHMARK_FAILED
    assert "the last worker was lost: its process was told to end by SIGTERM" in finished.reason
    assert "no replacement was ready within 60 s" in finished.reason
    assert 60 < asyncio.get_running_loop().time() < 75
    assert run.summary["credits"]["completed"] > 4 * 15
    assert_reconciled(run.summary)


async def test_arrivals_that_an_evicted_worker_had_in_hand_are_sent_by_others(benchmark_run):
    async def evict(hosts):
        await asyncio.sleep(2.05)
        hosts.tell_to_leave("worker-1")

    run = benchmark_run()
    await run.run(workers=3, in_pods=True, happenings=evict, request_rate=100, arrival_pattern="constant", duration_s=6)
    summary = run.summary
    assert summary["credits"]["unsent"] <= 1
    assert summary["credits"]["lost"] == 0
    assert len(run.server.sent) >= 599
    assert_reconciled(summary)


async def test_a_record_processor_that_is_told_to_leave_makes_records_of_what_it_has(benchmark_run):
    async def evict(hosts):
        await asyncio.sleep(2.03)
        hosts.tell_to_leave("record-processor-1")

    run = benchmark_run()
    await run.run(workers=2, in_pods=True, happenings=evict, concurrency=4, duration_s=4)
    summary = run.summary
    at_least = sum(1 for x in run.server.sent if x.end_ns >= 0) / 2
    assert summary["records"]["records"] >= at_least + 2 * 18
    assert_reconciled(summary)
    assert len(run.lines) == summary["records"]["records"]


async def test_a_controller_that_is_told_to_leave_says_so(benchmark_run):
    async def evict(hosts):
        await asyncio.sleep(2)
        hosts.tell_to_leave("control")

    run = benchmark_run()
    finished = await run.run(workers=2, in_pods=True, happenings=evict, concurrency=4, duration_s=60)
    assert finished.exit_code == ExitCode.BENCHMARK_FAILED
    assert "was lost: its process was told to end by SIGTERM" in finished.reason
    assert asyncio.get_running_loop().time() < 6
    assert run.summary["credits"]["completed"] > 4 * 15, "what there was is reported"
    assert "its process was told to end by SIGTERM" in json.dumps(run.summary["verdict"])
    assert_reconciled(run.summary)


async def test_a_controller_that_is_told_to_leave_before_the_load_ends_the_run_at_once(benchmark_run):
    async def evict(hosts):
        await asyncio.sleep(2)
        hosts.tell_to_leave("control")

    run = benchmark_run()
    finished = await run.run(
        workers=2, in_pods=True, absent=["worker-1"], happenings=evict, concurrency=4, duration_s=60
    )
    assert finished.exit_code == ExitCode.BENCHMARK_FAILED
    assert "was lost: its process was told to end by SIGTERM" in finished.reason
    assert not (run.folder / "profile_export_aiperf.json").exists()


async def test_a_worker_manager_that_falls_silent_is_found_by_the_controller(benchmark_run, monkeypatch):
    beat = wiring.keep_in_touch

    async def beat_for_a_while(seat, *rest):
        limit_s = 5 if seat.name == ServiceType.WORKER_MANAGER else 1_000
        async with asyncio.timeout(limit_s):
            await beat(seat, *rest)

    monkeypatch.setattr(wiring, "keep_in_touch", beat_for_a_while)
    run = benchmark_run()
    finished = await run.run(concurrency=1, duration_s=600)
    assert finished.exit_code == ExitCode.BENCHMARK_FAILED
    assert finished.reason == "worker-manager was lost: no sign of life for 15 s"
    assert 15 < asyncio.get_running_loop().time() < 25


@pytest.mark.parametrize(
    ("kind", "sender_or_receiver", "reason"),
    [
        (CreditReturns, lambda port, to: port._name == "worker-1", "its credit returns did not arrive"),
        (CreditBatch, lambda port, to: to == "worker-1", "orders did not reach it"),
    ],
)
async def test_a_gap_on_the_way_of_credits_is_a_stated_loss(
    benchmark_run, monkeypatch, kind, sender_or_receiver, reason
):
    send, seen = MemoryPort.send, []

    def send_all_but_the_fifth(port, frames, to=""):
        if sender_or_receiver(port, to) and is_a(kind, frames[-1]):
            seen.append(frames)
            if len(seen) == 5:
                return True
        return send(port, frames, to)

    monkeypatch.setattr(MemoryPort, "send", send_all_but_the_fifth)
    run = benchmark_run()
    finished = await run.run(workers=3, in_pods=True, concurrency=6, duration_s=5)
    assert finished.exit_code == ExitCode.DONE
    summary = run.summary
    assert reason in of_worker(summary, "worker-1")["lost_reason"]
    assert "lost_workers" in reasons(summary)
    assert "ledger" not in reasons(summary)
    assert_reconciled(summary)
    # The others took over its slots.
    assert summary["request_count"]["avg"] > 6 * 40


@pytest.mark.parametrize(
    ("kind", "load"),
    [
        (EndCredits, {"concurrency": 6, "request_count": 300}),
        (EndCredits, {"request_rate": 60, "duration_s": 5}),
        (PreparePhase, {"concurrency": 6, "duration_s": 5}),
    ],
)
async def test_a_lost_order_is_a_stated_loss_even_if_none_follows(benchmark_run, monkeypatch, kind, load):
    send = MemoryPort.send

    def send_all_but(port, frames, to=""):
        return True if to == "worker-1" and is_a(kind, frames[-1]) else send(port, frames, to)

    monkeypatch.setattr(MemoryPort, "send", send_all_but)
    run = benchmark_run()
    finished = await run.run(workers=3, in_pods=True, **load)
    assert finished.exit_code == ExitCode.DONE
    assert "did not reach it" in of_worker(run.summary, "worker-1")["lost_reason"]
    assert_reconciled(run.summary)
    assert asyncio.get_running_loop().time() < 60


def is_a(kind: type, payload: bytes) -> bool:
    try:
        return isinstance(decode(payload), kind)
    except msgspec.MsgspecError:
        return False
