import io
from itertools import pairwise
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from aiperf.report import shards
from aiperf.report.shards import (
    UNKNOWN_NS,
    Block,
    BlockPacker,
    Merged,
    ShardFile,
    completion_ranks,
    merge_shards,
)


def blocks_of(*texts: list[bytes]) -> list[Block]:
    packer = BlockPacker()
    return [block for lines in texts for block in packer.pack(lines) + packer.flush()]


def write_blocks(path: Path, blocks: list[Block]) -> Path:
    path.unlink(missing_ok=True)
    shard = ShardFile(path)
    for block in blocks:
        shard.append(block)
    shard.close()
    return path


def write_shard(path: Path, *texts: list[bytes]) -> Path:
    """A shard with a block of each of these lines."""
    return write_blocks(path, blocks_of(*texts))


def merged(paths: list[Path], ranks: list[list[int]]) -> tuple[bytes, Merged]:
    out = io.BytesIO()
    result = merge_shards(paths, [np.array(row, dtype=np.int64) for row in ranks], out)
    return out.getvalue(), result


def line(rank: int) -> bytes:
    return b'{"rank":%d}\n' % rank


@given(st.data())
def test_any_shards_in_any_order_give_all_lines_by_rank(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(data.draw(st.integers(0, 40)))))
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=3))), len(order)]
    ranks = [list(order[start:stop]) for start, stop in pairwise(edges)]
    size = data.draw(st.integers(1, 10))
    folder = tmp_path_factory.mktemp("shards")
    paths = [
        write_shard(folder / str(shard), *[list(map(line, own[at : at + size])) for at in range(0, len(own), size)])
        for shard, own in enumerate(ranks)
    ]
    text, result = merged(paths, ranks)
    assert text == b"".join(map(line, range(len(order))))
    assert result == Merged(len(order), 0, 0)


@given(st.data())
def test_shard_cut_anywhere_gives_its_whole_blocks(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    cut, whole = folder / "cut", folder / "whole"
    ends = []
    for blocks in range(4):
        write_shard(cut, *[[line(4 * block), line(4 * block + 2)] for block in range(blocks)])
        ends.append(cut.stat().st_size)
    write_shard(whole, [line(rank) for rank in (1, 3, 5, 7, 9)])
    kept_bytes = data.draw(st.integers(0, ends[-1]))
    cut.write_bytes(cut.read_bytes()[:kept_bytes])
    kept_blocks = max(blocks for blocks, end in enumerate(ends) if end <= kept_bytes)
    text, result = merged([cut, whole], [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9]])
    kept = sorted([rank for block in range(kept_blocks) for rank in (4 * block, 4 * block + 2)] + [1, 3, 5, 7, 9])
    assert text == b"".join(map(line, kept))
    assert result == Merged(5 + 2 * kept_blocks, 6 - 2 * kept_blocks, 0)


def test_shard_that_is_not_there_is_all_missing(tmp_path: Path) -> None:
    assert merged([tmp_path / "none"], [[0, 1]]) == (b"", Merged(0, 2, 0))


def test_damaged_block_is_missing_and_the_others_are_read(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "shard", [line(0)], [line(1)], [line(2)])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert merged([path], [[0, 1, 2]]) == (line(0) + line(2), Merged(2, 1, 0))


def test_lines_that_nobody_ranked_are_counted_and_left_out(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "shard", [line(0), line(1)], [line(2)])
    assert merged([path], [[0]]) == (line(0), Merged(1, 0, 2))


def test_negative_ranks_are_left_out(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "shard", [line(0), line(9)], [line(9)], [line(1)])
    assert merged([path], [[0, -1, -1, 1]]) == (line(0) + line(1), Merged(2, 0, 0))


def test_ranks_must_match_the_shards(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        merged([write_shard(tmp_path / "shard", [line(0)])], [])


@given(st.data())
def test_lost_blocks_cost_their_lines_and_no_others(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), max_size=8))
    edges = [0, *np.cumsum(sizes).tolist()]
    blocks = blocks_of(*[list(map(line, range(start, stop))) for start, stop in pairwise(edges)])
    kept = [block for block in blocks if data.draw(st.booleans())]
    path = write_blocks(tmp_path_factory.mktemp("shards") / "shard", kept)
    ranks = [rank for block in kept for rank in range(block.first_line, block.first_line + block.line_count)]
    text, result = merged([path], [list(range(edges[-1]))])
    assert text == b"".join(map(line, ranks))
    assert result == Merged(len(ranks), edges[-1] - len(ranks), 0)


def test_a_block_leaves_when_it_is_full_and_the_rest_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BLOCK_BYTES", 100)
    packer = BlockPacker()
    (full,) = packer.pack([b"x" * 60 + b"\n"] * 3)
    (rest,) = packer.flush()
    assert (full.first_line, full.line_count, rest.first_line, rest.line_count) == (0, 2, 2, 1)
    assert packer.flush() == []


def test_what_was_appended_is_there_before_the_shard_is_closed(tmp_path: Path) -> None:
    shard = ShardFile(tmp_path / "shard")
    for block in blocks_of([line(0)], [line(1)]):
        shard.append(block)
    assert merged([tmp_path / "shard"], [[0, 1]])[1] == Merged(2, 0, 0)
    shard.close()
    shard.close()


def test_new_shard_never_overwrites_an_old_one(tmp_path: Path) -> None:
    write_shard(tmp_path / "shard", [line(0)])
    with pytest.raises(FileExistsError):
        ShardFile(tmp_path / "shard")


def test_ranks_follow_the_ends_of_requests() -> None:
    ends = [np.array([30, 10]), np.array([], dtype=np.int64), np.array([20, 10])]
    assert [ranks.tolist() for ranks in completion_ranks(ends)] == [[3, 0], [], [2, 1]]
    assert completion_ranks([]) == []


def test_lines_of_requests_whose_end_is_unknown_have_no_rank() -> None:
    ends = [np.array([30, UNKNOWN_NS, 10]), np.array([UNKNOWN_NS]), np.array([20])]
    assert [ranks.tolist() for ranks in completion_ranks(ends)] == [[2, -1, 0], [-1], [1]]
