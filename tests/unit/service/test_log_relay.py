"""In virtual time, over the in-memory wire."""

import asyncio
import logging
from pathlib import Path

import pytest

from aiperf.service import log_relay
from aiperf.service.log_relay import LogBuffer, LogHome, relay_lines, sender_name
from aiperf.wire.bus import Hub, Seat
from aiperf.wire.memory_wire import MemoryWire
from aiperf.wire.messages import LogLines, LogTaken
from aiperf.wire.ports import Pattern

looptime = pytest.mark.looptime


def log(buffer: LogBuffer, *texts: str) -> None:
    for text in texts:
        buffer.handle(logging.LogRecord("aiperf", logging.INFO, __file__, 1, text, None, None))


def test_lines_are_given_once():
    buffer = LogBuffer()
    log(buffer, "one", "two")
    assert buffer.take() == (["one", "two"], 0)
    assert buffer.take() == ([], 0)


def test_what_the_buffer_cannot_hold_is_counted(monkeypatch):
    monkeypatch.setattr(log_relay, "BUFFER_BYTES", 10)
    buffer = LogBuffer()
    log(buffer, "x" * 8, "y" * 8, "z" * 8)
    assert buffer.take() == (["x" * 8], 2)
    log(buffer, "y" * 8)
    assert buffer.take() == (["y" * 8], 0)


def test_a_line_that_cannot_be_formatted_fails_nobody(monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    buffer = LogBuffer()
    buffer.handle(logging.LogRecord("aiperf", logging.INFO, __file__, 1, "%d", ("no number",), None))
    assert buffer.take() == ([], 0)


def test_lines_come_home_once_however_often_they_are_sent(tmp_path: Path):
    home = LogHome(tmp_path / "aiperf.log")
    first, second = LogLines("pod-1", 0, ["a", "b"]), LogLines("pod-1", 1, ["c"], 7)
    for message in (first, first, second, first, second):
        assert home.take("log/pod-1/x", message) == LogTaken(message.sequence)
    home.take("log/pod-1/y", LogLines("pod-1", 0, ["of a container that was started again"]))
    assert (tmp_path / "aiperf.log").read_text().splitlines() == [
        "a",
        "b",
        "c",
        "pod-1: 7 lines left out",
        "of a container that was started again",
    ]


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path):
    assert LogHome(tmp_path / "none" / "aiperf.log").take("s", LogLines("h", 0, ["a"])) == LogTaken(0)


class Bus:
    """A hub, a records manager that comes after a while, and a host with a buffer."""

    def __init__(self, folder: Path) -> None:
        self.wire = MemoryWire()
        self.hub = Hub(self.wire.bind(Pattern.DIALOGUE, "control"))
        self.home = LogHome(folder / "aiperf.log")
        self.path = folder / "aiperf.log"
        self.buffer = LogBuffer()
        self.services_left = asyncio.Event()
        self.tasks = [asyncio.create_task(self.hub.receive())]

    def host(self) -> "asyncio.Task[None]":
        name = sender_name("pod-1")
        seat = Seat(self.wire.connect(Pattern.DIALOGUE, "control", name), name)
        return asyncio.create_task(relay_lines(self.buffer, seat, "pod-1", self.services_left, 1.0))

    def records_manager(self) -> None:
        seat = Seat(self.wire.connect(Pattern.DIALOGUE, "control", "records-manager"), "records-manager")

        async def run() -> None:
            while True:
                sender, message = await seat.receive()
                seat.send(self.home.take(sender, message), to=sender)

        self.tasks.append(asyncio.create_task(run()))

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()


@looptime
async def test_lines_come_home_while_the_host_lives(tmp_path: Path):
    bus = Bus(tmp_path)
    bus.records_manager()
    host = bus.host()
    log(bus.buffer, "early")
    await asyncio.sleep(1.1)
    assert bus.path.read_text() == "early\n"
    log(bus.buffer, "later")
    await asyncio.sleep(1.1)
    assert bus.path.read_text() == "early\nlater\n"
    bus.services_left.set()
    await host
    bus.close()


@looptime
async def test_lines_wait_for_the_records_manager_and_come_once(tmp_path: Path):
    bus = Bus(tmp_path)
    host = bus.host()
    log(bus.buffer, "before anybody was there")
    await asyncio.sleep(30)
    bus.records_manager()
    log(bus.buffer, "after")
    await asyncio.sleep(5)
    assert bus.path.read_text() == "before anybody was there\nafter\n"
    bus.services_left.set()
    await host
    bus.close()


@looptime
async def test_the_last_lines_are_sent_at_once(tmp_path: Path):
    bus = Bus(tmp_path)
    bus.records_manager()
    host = bus.host()
    await asyncio.sleep(0.2)
    log(bus.buffer, "the last words")
    bus.services_left.set()
    await host
    assert bus.path.read_text() == "the last words\n"
    bus.close()


@looptime
async def test_a_host_leaves_even_if_nobody_takes_its_lines(tmp_path: Path):
    bus = Bus(tmp_path)
    host = bus.host()
    log(bus.buffer, "nobody hears this")
    await asyncio.sleep(2)
    bus.services_left.set()
    await asyncio.wait_for(host, 1)
    assert not bus.path.exists()
    bus.close()
