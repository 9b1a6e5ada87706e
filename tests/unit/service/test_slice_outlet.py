"""The way out for slices: order, spilling and failover, with a wire that refuses when told to."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from aiperf.endpoint.exchange import Exchange
from aiperf.record.slices import SIZE_LIMIT_BYTES, read_slice
from aiperf.service.slice_outlet import SPILLED_PER_FLUSH, SliceOutlet


class Port:
    """Takes what it is given while `open`."""

    def __init__(self) -> None:
        self.open = True
        self.taken: list[list[bytes]] = []
        self.closed = False

    def send(self, frames, to: str = "") -> bool:
        if self.open:
            self.taken.append([bytes(frame) for frame in frames])
        return self.open

    async def receive(self):
        raise AssertionError("a funnel's connector receives nothing")

    def close(self) -> None:
        self.closed = True

    def sequences(self) -> list[int]:
        return [read_slice(frames).header.sequence for frames in self.taken]


def exchange(handle: int) -> Exchange:
    return Exchange(
        handle, credit_index=handle, turn_index=0, phase=1, entry_index=0, url_index=0, due_ns=-1, dispatched_ns=0,
        rearm_delay_ns=-1, head=b"", body=b"",
    )  # fmt: skip


class Gathering:
    """An outlet that is given one ended exchange after another."""

    def __init__(self, tmp_path: Path, processors: list[str], index: int = 0) -> None:
        self.ports: dict[str, Port] = {}
        self.outlet = SliceOutlet("w", self._connect, tmp_path)
        self.outlet.configure(index, processors)
        self.handle = 0

    def _connect(self, processor: str) -> Port:
        return self.ports.setdefault(processor, Port())

    def cut(self) -> None:
        self.handle += 1
        self.outlet.on_end(exchange(self.handle))
        self.outlet.flush(0)


@pytest.fixture
def gather(tmp_path) -> Iterator[Callable[..., Gathering]]:
    made: list[Gathering] = []

    def make(processors: list[str], index: int = 0) -> Gathering:
        made.append(Gathering(tmp_path, processors, index))
        return made[-1]

    yield make
    for gathering in made:
        gathering.outlet.close()


def test_workers_are_dealt_to_record_processors_evenly(gather):
    for index, expected in enumerate(["a", "b", "a"]):
        assert list(gather(["a", "b"], index).ports) == [expected]


def test_nothing_gathered_means_no_slice(gather):
    w = gather(["a"])
    w.outlet.flush(0)
    assert w.ports["a"].taken == []
    assert w.outlet.slice_counts() == {"a": 0}


def test_a_slice_is_cut_when_it_is_large_whatever_the_time(gather):
    w = gather(["a"])
    for _ in range(5):
        w.outlet.on_read(exchange(1), 7, 0, bytes(SIZE_LIMIT_BYTES // 2))
    assert w.ports["a"].sequences() == [0, 1]


def test_slices_refused_by_the_wire_come_later_and_in_order(gather):
    w = gather(["a"])
    w.cut()
    w.ports["a"].open = False
    for _ in range(3):
        w.cut()
    assert w.ports["a"].sequences() == [0]
    assert w.outlet.deferred_bytes > 0
    w.ports["a"].open = True
    w.cut()
    assert w.ports["a"].sequences() == [0, 1, 2, 3, 4]
    assert w.outlet.slice_counts() == {"a": 5}


async def test_drain_waits_until_the_wire_has_taken_everything(gather):
    w = gather(["a"])
    port = w.ports["a"]
    port.open = False
    w.cut()
    refusals = 0
    refuse = port.send

    def send_at_the_third_try(frames, to: str = "") -> bool:
        nonlocal refusals
        refusals += 1
        port.open = refusals >= 3
        return refuse(frames, to)

    port.send = send_at_the_third_try
    await w.outlet.drain(lambda: 0)
    assert port.sequences() == [0]


def test_after_a_loss_slices_go_to_a_survivor_and_are_numbered_anew(gather):
    w = gather(["a", "b"])
    w.cut()
    w.cut()
    w.outlet.lose("a")
    w.cut()
    assert w.ports["a"].closed
    assert w.ports["b"].sequences() == [0]
    assert w.outlet.slice_counts() == {"a": 2, "b": 1}


def test_what_waits_for_a_lost_record_processor_is_dropped(gather):
    w = gather(["a", "b"])
    w.ports["a"].open = False
    w.cut()
    w.outlet.lose("a")
    w.cut()
    assert w.ports["b"].sequences() == [0]


def test_the_loss_of_anothers_record_processor_changes_nothing(gather):
    w = gather(["a", "b"])
    w.outlet.lose("b")
    w.cut()
    assert w.ports["a"].sequences() == [0]


async def test_without_any_record_processor_the_end_does_not_hang(gather):
    w = gather(["a"])
    w.outlet.lose("a")
    w.cut()
    await w.outlet.drain(lambda: 0)
    assert w.outlet.slice_counts() == {"a": 0}


def test_during_the_load_only_so_much_is_brought_back_at_a_time(gather):
    w = gather(["a"])
    w.ports["a"].open = False
    for _ in range(2 * SPILLED_PER_FLUSH):
        w.cut()
    w.ports["a"].open = True
    w.cut()
    assert w.ports["a"].sequences() == list(range(SPILLED_PER_FLUSH))
    w.cut()
    assert w.ports["a"].sequences() == list(range(2 * SPILLED_PER_FLUSH))
    w.cut()
    assert w.ports["a"].sequences() == list(range(2 * SPILLED_PER_FLUSH + 3))


async def test_it_tells_how_much_waited_on_disk_and_how_long(gather):
    w = gather(["a"])
    w.ports["a"].open = False
    w.cut()
    w.cut()
    w.ports["a"].open = True
    w.outlet.flush(3_000_000_000)
    observed = w.outlet.observations()
    assert observed == {
        "deferred_slice_count": 2, "deferred_s": 3.0, "deferred_after_load_s": 0.0, "dropped_slice_count": 0
    }  # fmt: skip


async def test_what_waited_before_the_measured_phase_is_none_of_its_own(gather):
    w = gather(["a"])
    w.ports["a"].open = False
    w.cut()
    w.ports["a"].open = True
    w.outlet.flush(3_000_000_000)
    w.outlet.observe_anew()
    assert set(w.outlet.observations().values()) == {0}
    assert w.outlet.deferred_bytes == 0


class BadDisk:
    """What `SpillFile` finds when it reads or writes."""

    def __init__(self, monkeypatch) -> None:
        self._sound = {"pread": os.pread, "pwrite": os.pwrite}
        self.failing: set[str] = set()
        for name in self._sound:
            monkeypatch.setattr(f"aiperf.service.spill_file.os.{name}", partial(self._call, name))

    def _call(self, name: str, *arguments):
        if name in self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._sound[name](*arguments)


async def test_a_disk_that_does_not_give_back_costs_slices_and_is_told_once(tmp_path, monkeypatch):
    told, port, disk = [], Port(), BadDisk(monkeypatch)
    outlet = SliceOutlet("w", lambda _: port, tmp_path, told.append)
    outlet.configure(0, ["a"])
    for _ in range(2):
        port.open = False
        for handle in range(3):
            outlet.on_end(exchange(handle))
            outlet.flush(0)
        port.open = True
        disk.failing = {"pread"}
        outlet.on_end(exchange(3))
        outlet.flush(0)
        disk.failing = set()
    await outlet.drain(lambda: 0)
    assert port.sequences() == [0, 3, 4, 7], "the first that waited had been read before"
    assert outlet.observations()["dropped_slice_count"] == 4
    (text,) = told
    assert "does not give back what waits (Input/output error)" in text
    assert "The load goes on" in text
    outlet.close()


async def test_a_disk_that_breaks_before_the_end_does_not_hold_up_the_end(tmp_path, monkeypatch):
    port, disk = Port(), BadDisk(monkeypatch)
    outlet = SliceOutlet("w", lambda _: port, tmp_path)
    outlet.configure(0, ["a"])
    port.open = False
    for handle in range(3):
        outlet.on_end(exchange(handle))
        outlet.flush(0)
    disk.failing, port.open = {"pread"}, True
    await outlet.drain(lambda: 0)
    assert (port.sequences(), outlet.dropped_count, outlet.slice_counts()) == ([0], 2, {"a": 3})
    outlet.close()


def test_a_disk_that_does_not_take_costs_slices(tmp_path, monkeypatch):
    told, port, disk = [], Port(), BadDisk(monkeypatch)
    outlet = SliceOutlet("w", lambda _: port, tmp_path, told.append)
    outlet.configure(0, ["a"])
    port.open = False
    for failing in (set(), {"pwrite"}, set()):
        disk.failing = failing
        outlet.on_end(exchange(0))
        outlet.flush(0)
    port.open = True
    outlet.flush(0)
    assert (port.sequences(), outlet.dropped_count) == ([0, 2], 1)
    assert "does not take what waits (Input/output error)" in told[0]
    outlet.close()


@pytest.mark.parametrize("already_waiting", [False, True])
def test_a_folder_that_is_deleted_costs_slices(tmp_path, already_waiting):
    told, port, folder = [], Port(), tmp_path / "run"
    folder.mkdir()
    outlet = SliceOutlet("w", lambda _: port, folder, told.append)
    outlet.configure(0, ["a"])
    port.open = False
    for handle in range(2):
        if handle == already_waiting:
            shutil.rmtree(folder)
        outlet.on_end(exchange(handle))
        outlet.flush(0)
    port.open = True
    outlet.on_end(exchange(2))
    outlet.flush(0)
    assert (port.sequences(), outlet.dropped_count) == ([0, 2], 1) if already_waiting else ([2], 2)
    assert "No such file" in told[0]
    outlet.close()


async def test_a_full_disk_costs_slices_and_is_told_once(tmp_path):
    told, port = [], Port()
    outlet = SliceOutlet("w", lambda _: port, tmp_path, told.append)
    outlet.configure(0, ["a"])

    def refuse(_: object) -> None:
        raise OSError(28, "No space left on device")

    outlet._spill.append = refuse
    port.open = False
    for handle in range(3):
        outlet.on_end(exchange(handle))
        outlet.flush(0)
    port.open = True
    outlet.on_end(exchange(3))
    outlet.flush(0)
    assert port.sequences() == [3]  # the gap says how many are missing
    assert outlet.dropped_count == 3
    assert len(told) == 1
    assert "No space left" in told[0]
    assert "The load goes on" in told[0]
    await outlet.drain(lambda: 0)
    assert outlet.slice_counts() == {"a": 4}
