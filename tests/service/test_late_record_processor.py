"""A record processor that the end of the run meets while it is still getting ready."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from aiperf.service.record_processor import RecordProcessor
from aiperf.service.supply import SameDisk
from aiperf.wire.bus import Hub, Seat
from aiperf.wire.memory_wire import MemoryWire
from aiperf.wire.messages import Configure, Exit, FinishRecords, RecordsFinished, ServiceReady
from aiperf.wire.ports import Pattern

pytestmark = [pytest.mark.looptime]


class SlowSupply(SameDisk):
    async def dataset(self, path: Path) -> None:
        await asyncio.sleep(20)


class NoRecords:
    """The pipeline of a record processor that no slice reached."""

    lost_slice_count = lost_record_count = 0

    def take(self) -> None:
        return None

    def flush(self) -> list[Any]:
        return []


def no_records(_: Configure) -> Any:
    return NoRecords(), NoRecords()


async def test_it_closes_its_account_when_it_is_ready():
    wire = MemoryWire()
    hub = Hub(wire.bind(Pattern.DIALOGUE, "control"))
    wire.bind(Pattern.FUNNEL, "columns")
    processor = RecordProcessor(
        seat=Seat(wire.connect(Pattern.DIALOGUE, "control", "late"), "late"),
        slices=wire.bind(Pattern.FUNNEL, "records"),
        columns=wire.connect(Pattern.FUNNEL, "columns", "late"),
        make_pipeline=no_records,
        supply=SlowSupply(),
        batch_interval_s=0.2,
    )
    running = asyncio.create_task(processor.run())
    hub.send(Configure("store", ["worker-0"], [], "builtin", waits_for_model=False), "late")
    hub.send(FinishRecords({}), "late")
    async with asyncio.timeout(60):
        told = [(await hub.receive())[1] for _ in range(2)]
    ready, finished = told
    assert ready == ServiceReady("late")
    assert isinstance(finished, RecordsFinished)
    assert finished.observations.keys() == {"cpu_s", "memory_max_mb"}
    assert structs.replace(finished, observations={}) == RecordsFinished("late", 0, 0, 0, 0, 0)
    hub.send(Exit(), "late")
    await running
