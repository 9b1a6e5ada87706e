"""The records manager's store of request lines: blocks come in, shards on its own disk wait for the export.

Owns: a shard for each record processor and kind of line, when the request of each line ended, giving up on a full disk.
Does not own: the shards' form and their merging (`aiperf.report.shards`), what is lost on the way (`column_messages`).

Memory: 8 bytes a line, for its place in the order of completion. Lines themselves go to disk as they come.
"""

from array import array
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aiperf.report.shards import UNKNOWN_NS, Block, ShardFile
from aiperf.service.column_messages import LineKind

Ends = npt.NDArray[np.int64]


class LineStore:
    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._shards: dict[Path, ShardFile] = {}
        self._ends: dict[str, array[int]] = defaultdict(lambda: array("q"))
        """By line; int64."""
        self.failure = ""
        """Why there are no lines any more."""

    def book_ends(self, record_processor: str, first_line: int, end_ns: Ends) -> None:
        """When the requests of the lines from `first_line` on ended. Order: of lines, for each record processor.

        Known before the lines come; what lies between the last time and `first_line` was lost on the way.
        """
        ends = self._ends[record_processor]
        ends.extend([UNKNOWN_NS] * (first_line - len(ends)))
        ends.frombytes(end_ns.tobytes())

    def append(self, record_processor: str, kind: LineKind, block: Block) -> None:
        """Keeps a block, unless it has given up. Raises: OSError (a full disk)."""
        if self.failure:
            return
        path = self.path(record_processor, kind)
        if path not in self._shards:
            self._shards[path] = ShardFile(path)
        self._shards[path].append(block)

    def give_up(self, failure: str) -> None:
        """Removes what there is, which may leave room for the summary, and keeps nothing any more."""
        self.failure = failure
        self.close()
        for path in self._shards:
            path.unlink(missing_ok=True)

    def path(self, record_processor: str, kind: LineKind) -> Path:
        """Where the shard is, if any of its lines came."""
        return self._data_dir / f"{record_processor}.{kind}"

    def end_ns(self, record_processors: Sequence[str]) -> list[Ends]:
        """For each, the ends by line; `UNKNOWN_NS` where they were lost on the way."""
        return [np.array(self._ends[name], np.int64) for name in record_processors]

    def close(self) -> None:
        """Calling it again does nothing."""
        for shard in self._shards.values():
            shard.close()
