"""Shards: the per-request lines of one record processor on disk, and the merging of them into one ordered file.

Owns: the shard's format, the order of the merge. Does not own: what a line says (`request_lines`), who writes when
(`aiperf.service`).

A shard is a row of blocks: two little-endian uint32 (bytes that follow, lines), then a zstd frame of that many bytes.
It can be read up to its last whole block, whenever its writer was killed.
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
"""Text in a block. A killed writer loses at most so much, and a merge holds a few blocks of each shard."""

_BLOCK_HEAD = struct.Struct("<II")

Ranks = npt.NDArray[np.int64]
"""Shape: (lines,). The place of each line of a shard in the order of all; negative: not to be written."""


class ShardWriter:
    """Appends lines to a new shard."""

    def __init__(self, path: Path) -> None:
        """Raises: OSError if the file cannot be made, FileExistsError among them."""
        self._file = path.open("xb")
        self._compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)
        self._lines: list[bytes] = []
        self._held_bytes = 0
        self.line_count = 0

    def write(self, lines: Sequence[bytes]) -> None:
        """Appends lines, each with its newline. Raises: OSError (a full disk)."""
        self.line_count += len(lines)
        for line in lines:
            self._lines.append(line)
            self._held_bytes += len(line)
            if self._held_bytes >= BLOCK_BYTES:
                self.flush()

    def flush(self) -> None:
        """Puts what is held into a block, safe from the end of this process. Raises: OSError."""
        if self._lines:
            frame = self._compressor.compress(b"".join(self._lines))
            self._file.write(_BLOCK_HEAD.pack(len(frame), len(self._lines)) + frame)
            self._lines, self._held_bytes = [], 0
        self._file.flush()

    def close(self) -> None:
        """Writes what is held and closes. Calling it again does nothing."""
        if not self._file.closed:
            self.flush()
            self._file.close()


class Merged(NamedTuple):
    """What a merge found."""

    line_count: int
    missing_count: int
    """Lines that have a rank but are in no whole block: their writer was killed."""
    unranked_count: int
    """Lines that nobody has given a rank: the records manager never heard of them."""


class _Block(NamedTuple):
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
    """The ranks of lines by the ends of their requests, for each shard. Order: equal ends by shard, then by line."""
    if not end_ns:
        return []
    order = np.argsort(np.concatenate(end_ns), kind="stable")
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return np.split(ranks, np.cumsum([len(ends) for ends in end_ns])[:-1])


def merge_shards(shard_paths: Sequence[Path], ranks: Sequence[Ranks], out: BinaryIO) -> Merged:
    """Writes the lines of all shards to `out` by ascending rank; says what it found.

    A block is opened when the first of its lines is due, and of its lines only those are held that come too early. So
    memory goes with how far lines are out of order, not with how many there are, and it does not matter where in its
    shard a block stands (what was deferred during the load stands at the end).

    Raises: ValueError if there are not as many ranks as shards; OSError.
    """
    blocks: list[_Block] = []
    missing_count = unranked_count = line_count = 0
    for shard, (path, shard_ranks) in enumerate(zip(shard_paths, ranks, strict=True)):
        found = _whole_blocks(path, shard, shard_ranks)
        whole_line_count = sum(block.line_count for block in found)
        missing_count += int(np.count_nonzero(shard_ranks[whole_line_count:] >= 0))
        unranked_count += max(whole_line_count - len(shard_ranks), 0)
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


def _whole_blocks(path: Path, shard: int, ranks: Ranks) -> list[_Block]:
    """The blocks of a shard that were written to their end; none if there is no such file."""
    if not path.exists():
        return []
    blocks = []
    first_line = 0
    with path.open("rb") as file:
        size = path.stat().st_size
        while len(head := file.read(_BLOCK_HEAD.size)) == _BLOCK_HEAD.size:
            length, line_count = _BLOCK_HEAD.unpack(head)
            offset = file.tell()
            if offset + length > size:
                break
            own = ranks[first_line : first_line + line_count]
            own = own[own >= 0]
            first_rank = int(own.min()) if len(own) else -1
            blocks.append(_Block(first_rank, shard, offset, length, first_line, line_count))
            first_line += line_count
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


def _run_of(file: BinaryIO, block: _Block, ranks: Ranks) -> _Run | None:
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
