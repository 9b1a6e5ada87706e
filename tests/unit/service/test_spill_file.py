import os
import resource
import signal
from types import SimpleNamespace

import pytest

from aiperf.service import spill_file
from aiperf.service.spill_file import SpillFile


def numbers(spill):
    got = []
    while spill.waiting_count:
        got.append(spill.peek()[0])
        spill.advance()
    return got


def test_it_gives_back_what_it_took_and_leaves_nothing_behind(tmp_path):
    spill = SpillFile(tmp_path / "s")
    for number in range(3):
        spill.append([b"%d" % number, bytes(number)])
    assert spill.peek() == [b"0", b""]
    assert spill.peek() == [b"0", b""]
    spill.advance()
    spill.append([b"3", b""])
    assert numbers(spill) == [b"1", b"2", b"3"]
    assert (tmp_path / "s").stat().st_size == 0
    assert (spill.total_count, spill.waiting_count) == (4, 0)
    spill.close()
    assert list(tmp_path.iterdir()) == []


def test_room_is_given_back_while_others_still_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(spill_file, "SEGMENT_BYTES", 1_000)
    spill = SpillFile(tmp_path / "s")
    most = 0
    for number in range(500):
        spill.append([b"%d" % number, bytes(300)])
        if number >= 10:
            assert spill.peek()[0] == b"%d" % (number - 10)
            spill.advance()
        most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert most < 10 * 320 + 3 * 1_400
    assert numbers(spill) == [b"%d" % number for number in range(490, 500)]
    assert len(list(tmp_path.iterdir())) == 1
    spill.close()


def test_what_is_cleared_does_not_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(spill_file, "SEGMENT_BYTES", 100)
    spill = SpillFile(tmp_path / "s")
    for _ in range(5):
        spill.append([bytes(80)])
    spill.peek()
    spill.clear()
    spill.append([b"new"])
    assert numbers(spill) == [b"new"]
    spill.close()


def test_some_of_the_disk_is_left_free(tmp_path, monkeypatch):
    spill = SpillFile(tmp_path / "s")
    disk = SimpleNamespace(f_bavail=spill_file.DISK_KEPT_FREE_BYTES, f_blocks=1 << 40, f_frsize=1)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    with pytest.raises(OSError, match="No space"):
        spill.append([b"x"])
    assert spill.waiting_count == spill.total_bytes == 0
    disk.f_bavail += 100
    spill.append([b"x"])
    assert numbers(spill) == [b"x"]
    spill.close()


def test_a_message_that_did_not_fit_leaves_no_trace(tmp_path):
    """The kernel takes half of it and no more, as on a full disk."""
    spill = SpillFile(tmp_path / "s")
    spill.append([b"before", bytes(1_000)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
        with pytest.raises(OSError, match="too large"):
            spill.append([b"lost", bytes(5_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    spill.append([b"after", bytes(10)])
    assert numbers(spill) == [b"before", b"after"]
    spill.close()


def test_with_what_cannot_be_read_only_its_own_file_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(spill_file, "SEGMENT_BYTES", 200)
    spill = SpillFile(tmp_path / "s")
    for number in range(6):
        spill.append([b"%d" % number, bytes(90)])
    os.truncate(tmp_path / "s", 30)
    with pytest.raises(OSError, match="not as it was written"):
        spill.peek()
    assert spill.give_up_oldest() == 2
    assert numbers(spill) == [b"2", b"3", b"4", b"5"]
    spill.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [0, 8])
def test_a_file_that_was_written_over_is_known(tmp_path, at):
    """At its length or in its frames."""
    spill = SpillFile(tmp_path / "s")
    spill.append([b"x"])
    with (tmp_path / "s").open("r+b") as file:
        file.seek(at)
        file.write(b"\xff\xff")
    with pytest.raises(OSError, match="not as it was written"):
        spill.peek()
    assert spill.give_up_oldest() == 1
    spill.append([b"y"])
    assert numbers(spill) == [b"y"]
    spill.close()
