"""Record processors and records manager have no disk in common; and what the way between them may do to their messages.

In virtual time, as `test_runs`.
"""

import asyncio
import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from aiperf.deploy.layouts import memory_layout
from aiperf.errors import ExitCode
from aiperf.plan.plan import EndpointPlan, InputPlan, LoadPlan, Plan, ResultsPlan
from aiperf.report.shards import ShardFile
from aiperf.service.host import host_services
from aiperf.service.layout import Apis, Host, ServiceType
from aiperf.service.records_manager import SILENCE_BEFORE_GIVING_UP_S
from aiperf.service.wiring import Surroundings
from aiperf.wire.bus import OPERATOR, Seat
from aiperf.wire.memory_wire import MemoryPort, MemoryWire
from aiperf.wire.messages import RunFinished
from aiperf.wire.ports import Frames, Pattern

from .conftest import EPOCH_NS, Benchmark, LoopClock, LoopTimer

pytestmark = [pytest.mark.looptime]

LATE_S = SILENCE_BEFORE_GIVING_UP_S + 0.5
"""When nobody waits any more, but the results have not been told yet."""


class Way:
    """The columns channel as record processors see it; `fate` says what becomes of their message number n."""

    def __init__(self, port: MemoryPort, fate: Callable[[int, Frames], str]) -> None:
        self._port = port
        self._fate = fate
        self._count = 0

    def send(self, frames: Frames, to: str = "") -> bool:
        fate = self._fate(self._count, frames)
        if fate == "refused":
            return False
        self._count += 1
        if fate == "late":
            asyncio.get_running_loop().call_later(LATE_S, self._port.send, frames)
            return True
        return fate == "lost" or self._port.send(frames, to)

    async def receive(self) -> tuple[str, list[bytes]]:
        return await self._port.receive()

    def close(self) -> None:
        self._port.close()


class WireWithFates(MemoryWire):
    def __init__(self, fate: Callable[[int, Frames], str]) -> None:
        super().__init__()
        self._fate = fate

    def connect(self, pattern: Pattern, address: str, name: str, *limits):
        port = super().connect(pattern, address, name, *limits)
        return Way(port, self._fate) if address == "columns" else port


async def run_apart(
    folder: Path, benchmark: Benchmark, *, fate=lambda n, frames: "", results: ResultsPlan | None = None, **load
) -> RunFinished:
    """A run whose record processors are told folders that do not exist: they can leave nothing on a disk."""
    plan = Plan(
        endpoint=EndpointPlan(models=("m",)),
        input=InputPlan(isl_mean_tokens=4, entries_count=10),
        load=LoadPlan(**load),
        results=results or ResultsPlan(),
    )
    layout = memory_layout(
        run_id="run", workers=4, processors=2, artifact_dir=benchmark.folder, seed=1, anchor_ns=EPOCH_NS
    )
    layout = msgspec.structs.replace(layout, apis=Apis(run="https://elsewhere"))  # so no disk is shared
    processors = layout.services(ServiceType.RECORD_PROCESSOR)
    others = [seat for seat in layout.services() if seat not in processors]
    hosts = [Host("control", others), *(Host(seat.service_id, [seat]) for seat in processors)]
    layout = msgspec.structs.replace(layout, hosts=hosts, apis=Apis(run="https://elsewhere"))
    Path(layout.data_dir).mkdir(parents=True)
    nowhere = msgspec.structs.replace(layout, data_dir=str(folder / "none"), artifact_dir=str(folder / "none"))
    wire = WireWithFates(fate)
    seat = Seat(wire.connect(Pattern.DIALOGUE, "control", OPERATOR), OPERATOR)
    control = Surroundings(
        hosts[0], layout, plan, wire, LoopClock(), 10_000, benchmark.server.client, LoopTimer, in_thread=in_this_thread
    )
    arounds = [control, *(replace(control, host=host, layout=nowhere) for host in hosts[1:])]
    tasks = [asyncio.create_task(host_services(around)) for around in arounds]
    while True:
        _, message = await seat.receive()
        if isinstance(message, RunFinished):
            await asyncio.gather(*tasks)
            wire.close()
            return message


async def in_this_thread(call, *arguments):
    return call(*arguments)


def told(path: Path) -> list[dict]:
    """Its lines without instants, which follow the clock: the runs follow one another."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    for line in lines:
        line["metadata"] = {key: value for key, value in line["metadata"].items() if not key.endswith("_ns")}
        line["metrics"] = [*line.get("metrics", {})]
        line["responses"] = [response["text"] for response in line.get("responses", ())]
    return lines


def is_block(frames: Frames) -> bool:
    return len(frames) == 2


@pytest.mark.parametrize("level", ["records", "raw"])
async def test_without_a_common_disk_the_artifacts_are_the_same(benchmark_run, tmp_path, level):
    together, apart = benchmark_run(), benchmark_run()
    for run in (together, apart):
        run.server.latency_ms = lambda n: 50 + 37.1 * (n % 7)
        run.server.fails = lambda n: n % 9 == 0
    load = {"request_rate": 100, "request_count": 150, "results": ResultsPlan(export_level=level)}
    await together.run(workers=4, processors=2, **load)
    finished = await run_apart(tmp_path, apart, **load)
    assert finished.exit_code == ExitCode.DONE
    names = sorted(path.name for path in together.folder.iterdir() if path.name != ".run")
    assert names == sorted(path.name for path in apart.folder.iterdir() if path.name != ".run")
    for name in names:
        if name.endswith(".jsonl"):
            assert told(together.folder / name) == told(apart.folder / name)
    assert together.summary["records"] == apart.summary["records"]
    assert together.summary["request_latency"] == pytest.approx(apart.summary["request_latency"], rel=1e-6)
    assert len(apart.lines) == 150
    assert not (tmp_path / "none").exists()


async def test_lines_do_not_wait_for_a_whole_block(benchmark_run, tmp_path):
    blocks_s = []

    def note(number: int, frames: Frames) -> str:
        if is_block(frames):
            blocks_s.append(asyncio.get_running_loop().time())
        return ""

    run = benchmark_run()
    await run_apart(tmp_path, run, fate=note, concurrency=4, duration_s=10)
    assert min(blocks_s) < 4
    # Of two record processors, one each two seconds, and the last ones.
    assert 8 <= len(blocks_s) <= 14


async def test_a_lost_block_is_told_and_costs_its_lines_only(benchmark_run, tmp_path):
    run = benchmark_run()
    lost = []

    def lose_one(number: int, frames: Frames) -> str:
        if is_block(frames) and not lost:
            lost.append(frames)
            return "lost"
        return ""

    finished = await run_apart(tmp_path, run, fate=lose_one, concurrency=8, duration_s=6)
    assert finished.exit_code == ExitCode.DONE
    records, count = run.summary["records"], len(run.server.sent)
    missing = count - len(run.lines)
    assert missing > 0
    assert (records["records"], records["lost"], records["lines_lost"]) == (count, 0, missing)
    assert any(f"lacks {missing} lines" in warning for warning in run.summary["warnings"])
    ends = [line["metadata"]["request_end_ns"] for line in run.lines]
    assert ends == sorted(ends)


async def test_a_lost_batch_is_told_and_its_records_are_counted_as_lost(benchmark_run, tmp_path):
    run = benchmark_run()
    lost = []

    def lose_one(number: int, frames: Frames) -> str:
        if not is_block(frames) and number > 5 and not lost:
            lost.append(frames)
            return "lost"
        return ""

    await run_apart(tmp_path, run, fate=lose_one, concurrency=8, duration_s=6)
    records, count = run.summary["records"], len(run.server.sent)
    assert records["batches_lost"] == 1
    assert records["lost"] > 0
    assert records["records"] + records["lost"] == count
    # The lines are those of the records that are counted.
    assert len(run.lines) == records["records"]
    assert run.summary["verdict"]["status"] != "valid"


async def test_the_last_messages_are_missed_too(benchmark_run, tmp_path):
    run = benchmark_run()

    def lose_the_end(number: int, frames: Frames) -> str:
        return "lost" if asyncio.get_running_loop().time() > 5.5 else ""

    await run_apart(tmp_path, run, fate=lose_the_end, concurrency=8, duration_s=6)
    records = run.summary["records"]
    assert records["batches_lost"] > 0
    assert records["records"] + records["lost"] == len(run.server.sent)
    assert records["lines_lost"] == records["records"] - len(run.lines)


async def test_what_comes_when_nobody_waits_any_more_is_lost_and_disturbs_nobody(benchmark_run, tmp_path):
    run = benchmark_run()

    def delay_the_last_blocks(number: int, frames: Frames) -> str:
        return "late" if is_block(frames) and asyncio.get_running_loop().time() > 5.9 else ""

    finished = await run_apart(tmp_path, run, fate=delay_the_last_blocks, concurrency=8, duration_s=6)
    assert finished.exit_code == ExitCode.DONE
    records = run.summary["records"]
    assert records["records"] == len(run.server.sent)
    assert records["lines_lost"] == len(run.server.sent) - len(run.lines) > 0


async def test_a_slow_records_manager_holds_slices_back_and_nothing_is_lost(benchmark_run, tmp_path):
    run = benchmark_run()

    def refuse_for_long(number: int, frames: Frames) -> str:
        return "refused" if 2 < asyncio.get_running_loop().time() < 40 else ""

    finished = await run_apart(tmp_path, run, fate=refuse_for_long, concurrency=8, duration_s=30)
    assert finished.exit_code == ExitCode.DONE
    summary = run.summary
    assert (summary["records"]["records"], summary["records"]["lost"]) == (len(run.server.sent), 0)
    assert len(run.lines) == len(run.server.sent)
    # What the bounded channel did not take waited on the workers' disks.
    assert any(reason["rule"] == "deferred" for reason in summary["verdict"]["reasons"])


async def test_a_full_disk_ends_the_load_with_a_reason_and_a_summary(benchmark_run, tmp_path, monkeypatch):
    run, append = benchmark_run(), ShardFile.append

    def append_until_full(shard: ShardFile, block) -> None:
        if asyncio.get_running_loop().time() > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(shard, block)

    monkeypatch.setattr(ShardFile, "append", append_until_full)
    finished = await run_apart(tmp_path, run, concurrency=8, duration_s=600)
    assert finished.exit_code == ExitCode.INFRASTRUCTURE
    assert "No space left on device" in finished.reason
    summary = run.summary
    assert not summary["is_complete"]
    assert summary["records"]["records"] + summary["records"]["cut"] == len(run.server.sent) < 1_000
    assert summary["records"]["lines_lost"] == len(run.server.sent)
    assert any("there is no profile_export.jsonl" in warning for warning in summary["warnings"])
    assert "profile_export.jsonl" not in summary["artifacts"]
    assert not [*run.folder.glob("*.jsonl")]
