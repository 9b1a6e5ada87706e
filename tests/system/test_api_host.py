"""The API's place in a run: between the control bus and real sockets."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiperf.api.client import ApiClient
from aiperf.api.connection import ApiAddress
from aiperf.api.server import listen
from aiperf.clock import RunClock
from aiperf.service.api_host import ApiHost
from aiperf.wire.bus import OPERATOR, Hub, Seat
from aiperf.wire.memory_wire import MemoryWire
from aiperf.wire.messages import Heartbeat, Notice, OperatorJoined, RunFinished, StopRun
from aiperf.wire.ports import Pattern

FINISHED = RunFinished(0, "completed", "", "", "")


class Bench:
    """A hub played by the test, and an API host on it."""

    def __init__(self, tmp_path: Path, linger_s: float | None) -> None:
        wire = MemoryWire()
        self.hub = Hub(wire.bind(Pattern.DIALOGUE, "memory://control"))
        listener = listen("127.0.0.1", 0, tls=False)
        self.address = ApiAddress(f"http://127.0.0.1:{listener.getsockname()[1]}", "token")
        self.artifact_dir = tmp_path / "artifacts"
        self.artifact_dir.mkdir()
        (self.artifact_dir / "profile_export_aiperf.json").write_text("{}")
        self.host = ApiHost(
            seat=Seat(wire.connect(Pattern.DIALOGUE, "memory://control", OPERATOR), OPERATOR),
            clock=RunClock(0),
            listener=listener,
            tls=None,
            token="token",
            run_id="run-1",
            plan={},
            artifact_dir=self.artifact_dir,
            upload_dir=tmp_path / "data/uploads",
            packed_dir=tmp_path / "data/packed",
            linger_s=linger_s,
        )


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, None)
    running = asyncio.create_task(bench.host.run())
    yield bench
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_it_joins_as_an_operator_and_passes_orders_on(bench: Bench) -> None:
    assert await bench.hub.receive() == (OPERATOR, OperatorJoined())
    async with ApiClient(bench.address) as client:
        await client.stop(now=True)
    assert await bench.hub.receive() == (OPERATOR, StopRun(now=True, reason="interrupted by the user"))


async def test_what_operators_are_told_reaches_people_far_away(bench: Bench) -> None:
    for message in (Heartbeat("system-controller", 1), Notice("waiting"), FINISHED):
        bench.hub.send(message, OPERATOR)
    async with ApiClient(bench.address) as client:
        assert [told async for told in client.follow()] == [Notice("waiting"), FINISHED]


async def test_it_leaves_once_the_results_were_fetched(tmp_path: Path) -> None:
    bench = Bench(tmp_path, linger_s=None)
    running = asyncio.create_task(bench.host.run())
    bench.hub.send(FINISHED, OPERATOR)
    async with ApiClient(bench.address) as client:
        assert [told async for told in client.follow()] == [FINISHED]
        await client.fetch_artifacts(tmp_path / "home")
        assert not running.done()
        await client.confirm_fetched()
        await asyncio.wait_for(running, 10)
    assert (tmp_path / "home/profile_export_aiperf.json").read_text() == "{}"


async def test_it_leaves_when_the_linger_ends(tmp_path: Path) -> None:
    bench = Bench(tmp_path, linger_s=0.1)
    bench.hub.send(FINISHED, OPERATOR)
    await asyncio.wait_for(bench.host.run(), 10)


async def test_told_to_leave_it_frees_its_port(tmp_path: Path) -> None:
    bench = Bench(tmp_path, linger_s=None)
    running = asyncio.create_task(bench.host.run())
    async with ApiClient(bench.address) as client:
        await client.run_info()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    listen("127.0.0.1", int(bench.address.url.rpartition(":")[2]), tls=False).close()
