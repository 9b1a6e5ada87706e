import errno
import io
from pathlib import Path

import numpy as np
import pytest

from aiperf.report.shards import UNKNOWN_NS, Block, BlockPacker, ShardFile, completion_ranks, merge_shards
from aiperf.service.column_messages import LineKind
from aiperf.service.line_store import LineStore

NAMES = ["rp-0", "rp-1"]


def blocks(*texts: bytes) -> list[Block]:
    packer = BlockPacker()
    return [block for text in texts for block in packer.pack([text]) + packer.flush()]


def exported(store: LineStore, kind: LineKind = LineKind.LINES) -> bytes:
    store.close()
    out = io.BytesIO()
    merge_shards([store.path(name, kind) for name in NAMES], completion_ranks(store.end_ns(NAMES)), out)
    return out.getvalue()


def test_lines_of_all_record_processors_come_out_in_the_order_of_completion(tmp_path: Path) -> None:
    store = LineStore(tmp_path)
    store.book_ends("rp-0", 0, np.array([10, 40]))
    store.book_ends("rp-1", 0, np.array([20]))
    store.book_ends("rp-1", 1, np.array([30]))
    for name, texts in (("rp-1", (b"b\n", b"c\n")), ("rp-0", (b"a\n", b"d\n"))):
        for block in blocks(*texts):
            store.append(name, LineKind.LINES, block)
            store.append(name, LineKind.RAW, block._replace(frame=block.frame))
    assert exported(store) == exported(store, LineKind.RAW) == b"a\nb\nc\nd\n"


def test_lines_of_a_batch_that_was_lost_are_left_out(tmp_path: Path) -> None:
    store = LineStore(tmp_path)
    store.book_ends("rp-0", 0, np.array([10]))
    store.book_ends("rp-0", 2, np.array([5]))
    for block in blocks(b"a\n", b"lost\n", b"c\n"):
        store.append("rp-0", LineKind.LINES, block)
    assert store.end_ns(NAMES)[0].tolist() == [10, UNKNOWN_NS, 5]
    assert exported(store) == b"c\na\n"


def test_a_store_that_gave_up_leaves_nothing_and_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LineStore(tmp_path)
    first, second = blocks(b"a\n", b"b\n")
    store.append("rp-0", LineKind.LINES, first)

    def full(shard: ShardFile, block: Block) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ShardFile, "append", full)
    with pytest.raises(OSError, match="No space"):
        store.append("rp-0", LineKind.LINES, second)
    store.give_up("the disk is full")
    store.append("rp-0", LineKind.LINES, second)
    assert [*tmp_path.iterdir()] == []
