"""Shards: the per-request lines of one record processor, packed in blocks, and the merging into one ordered file.

Owns: blocks, the shard's format, the order of the merge. Does not own: what a line says (`request_lines`), how blocks
travel and who writes when (`aiperf.service`).

A shard is a row of blocks. On disk each is, little-endian: a uint64 (the number of its first line, from 0), two uint32
(bytes that follow, lines), then a zstd frame of that many bytes. A shard can be read up to its last whole block,
whenever its writer was killed, and may lack blocks.
"""

import io
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from heapq import heappop, heappush
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard

BLOCK_BYTES = 1 << 20
"""Text in a block. A killed packer loses at most so much, and a merge holds a few blocks of each shard."""

UNKNOWN_NS = int(np.iinfo(np.int64).min)
"""Stands for the end of a request of which only the line is known."""

_BLOCK_HEAD = struct.Struct("<QII")

Ranks = npt.NDArray[np.int64]
"""Shape: (lines,). The place of each line of a shard in the order of all; negative: not to be written."""


class Block(NamedTuple):
    """Lines of a shard that follow one another, compressed."""

    first_line: int
    line_count: int
    frame: bytes
    """A zstd frame: the lines, each with its newline."""


class BlockPacker:
    """Lines in, blocks out."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)
        self._lines: list[bytes] = []
        self._held_bytes = 0
        self._packed_count = 0

    def pack(self, lines: Sequence[bytes]) -> list[Block]:
        """Adds lines, each with its newline; the blocks that became full."""
        full: list[Block] = []
        for line in lines:
            self._lines.append(line)
            self._held_bytes += len(line)
            if self._held_bytes >= BLOCK_BYTES:
                full += self.flush()
        return full

    def flush(self) -> list[Block]:
        """What is held, as a block; nothing if nothing is."""
        if not self._lines:
            return []
        frame = self._compressor.compress(b"".join(self._lines))
        block = Block(self._packed_count, len(self._lines), frame)
        self._packed_count += len(self._lines)
        self._lines, self._held_bytes = [], 0
        return [block]


class ShardFile:
    """Appends blocks to a new shard."""

    def __init__(self, path: Path) -> None:
        """Raises: OSError if the file cannot be made, FileExistsError among them."""
        self._file = path.open("xb", buffering=0)

    def append(self, block: Block) -> None:
        """Puts the block behind the others, safe from the end of this process. Raises: OSError (a full disk)."""
        content = memoryview(_BLOCK_HEAD.pack(block.first_line, len(block.frame), block.line_count) + block.frame)
        while content:
            content = content[self._file.write(content) :]

    def close(self) -> None:
        """Calling it again does nothing."""
        self._file.close()


class Merged(NamedTuple):
    """What a merge found."""

    line_count: int
    missing_count: int
    """Lines that have a rank but are in no whole block: their packer was killed, or the block was lost on its way."""
    unranked_count: int
    """Lines behind the last that was given a rank: the records manager never heard of their requests."""


class _Place(NamedTuple):
    """Where a block lies, and when its lines are due."""

    first_rank: int
    """The lowest of its lines; -1 if none has a rank."""
    shard: int
    offset: int
    """Of the zstd frame."""
    length: int
    first_line: int
    line_count: int

    def of(self, ranks: Ranks) -> Ranks:
        """The ranks of its lines."""
        return ranks[self.first_line : self.first_line + self.line_count]


def completion_ranks(end_ns: Sequence[npt.NDArray[np.int64]]) -> list[Ranks]:
    """The ranks of lines by the ends of their requests, for each shard. Order: equal ends by shard, then by line.

    The line of a request whose end is `UNKNOWN_NS` has the rank -1.
    """
    if not end_ns:
        return []
    ends = np.concatenate(end_ns)
    known = np.flatnonzero(ends != UNKNOWN_NS)
    order = known[np.argsort(ends[known], kind="stable")]
    ranks = np.full(len(ends), -1, dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return np.split(ranks, np.cumsum([len(ends) for ends in end_ns])[:-1])


def merge_shards(shard_paths: Sequence[Path], ranks: Sequence[Ranks], out: BinaryIO) -> Merged:
    """Writes the lines of all shards to `out` by ascending rank; says what it found.

    A block is opened when the first of its lines is due, and of its lines only those are held that come too early. So
    memory goes with how far lines are out of order, not with how many there are, and it does not matter where in its
    shard a block stands (what was deferred during the load stands at the end).

    Raises: ValueError if there are not as many ranks as shards; OSError.
    """
    blocks: list[_Place] = []
    missing_count = unranked_count = line_count = 0
    for shard, (path, shard_ranks) in enumerate(zip(shard_paths, ranks, strict=True)):
        found = _whole_blocks(path, shard, shard_ranks)
        found_count = sum(int(np.count_nonzero(block.of(shard_ranks) >= 0)) for block in found)
        missing_count += int(np.count_nonzero(shard_ranks >= 0)) - found_count
        unranked_count += sum(block.line_count - len(block.of(shard_ranks)) for block in found)
        blocks += (block for block in found if block.first_rank >= 0)
    blocks.sort()
    next_ranks = [*(block.first_rank for block in blocks), np.iinfo(np.int64).max][1:]
    runs = _Runs()
    with ExitStack() as stack:
        files = {
            shard: stack.enter_context(shard_paths[shard].open("rb")) for shard in {block.shard for block in blocks}
        }
        for block, next_rank in zip(blocks, next_ranks, strict=True):
            run = _run_of(files[block.shard], block, ranks[block.shard])
            if run is None:
                missing_count += int(np.count_nonzero(block.of(ranks[block.shard]) >= 0))
                continue
            runs.add(run)
            for lines in runs.take_below(next_rank):
                out.write(b"".join(lines))
                line_count += len(lines)
    return Merged(line_count, missing_count, unranked_count)


def _whole_blocks(path: Path, shard: int, ranks: Ranks) -> list[_Place]:
    """The blocks of a shard that were written to their end; none if there is no such file."""
    if not path.exists():
        return []
    blocks = []
    with path.open("rb") as file:
        size = path.stat().st_size
        while len(head := file.read(_BLOCK_HEAD.size)) == _BLOCK_HEAD.size:
            first_line, length, line_count = _BLOCK_HEAD.unpack(head)
            offset = file.tell()
            if offset + length > size:
                break
            own = ranks[first_line : first_line + line_count]
            own = own[own >= 0]
            first_rank = int(own.min()) if len(own) else -1
            blocks.append(_Place(first_rank, shard, offset, length, first_line, line_count))
            file.seek(length, io.SEEK_CUR)
    return blocks


class _Run(NamedTuple):
    """Lines in order."""

    ranks: list[int]
    lines: list[bytes]


class _Runs:
    """Runs that were read and not yet written to their ends.

    Lines leave in stretches, as long as one run has the lowest: shards are nearly in order, and a heap of single lines
    costs twice as much.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, _Run]] = []
        """The lowest rank of a run that is still there, its position, the run. Ranks differ, so no run is compared."""

    def add(self, run: _Run) -> None:
        if run.ranks:
            heappush(self._heap, (run.ranks[0], 0, run))

    def take_below(self, end_rank: int) -> Iterator[list[bytes]]:
        """All lines of lower rank, in order, in stretches."""
        heap = self._heap
        while heap and heap[0][0] < end_rank:
            _, start, run = heappop(heap)
            stop = bisect_left(run.ranks, min(end_rank, heap[0][0]) if heap else end_rank, start)
            due = run.lines[start:stop]
            run.lines[start:stop] = [b""] * len(due)  # lets go of them
            yield due
            if stop < len(run.ranks):
                heappush(heap, (run.ranks[stop], stop, run))


def _run_of(file: BinaryIO, block: _Place, ranks: Ranks) -> _Run | None:
    """The lines of a block that have a rank; None if the block is damaged (a disk that was full)."""
    file.seek(block.offset)
    try:
        text = zstandard.ZstdDecompressor().decompress(file.read(block.length))
    except zstandard.ZstdError:
        return None
    lines = io.BytesIO(text).readlines()
    own = block.of(ranks)
    order = np.argsort(own, kind="stable")
    order = order[own[order] >= 0]
    return _Run(own[order].tolist(), [lines[position] for position in order.tolist()])
