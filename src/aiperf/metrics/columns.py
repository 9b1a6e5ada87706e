"""A table of numbers that grows by columns of records.

Owns: the memory. Does not own: what the rows mean.
"""

from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", bound=np.generic)
FIRST_CAPACITY = 1_024


class Columns(Generic[Number]):
    """Rows of one type, each with a value for every record so far. Growth doubles, so appending is cheap on average."""

    __slots__ = ("_table", "count")

    def __init__(self, table: npt.NDArray[Number]) -> None:
        """Takes the table over as it is. Shape: (rows, records)."""
        self._table = table
        self.count = table.shape[1]

    @classmethod
    def empty(cls, rows: int, dtype: type[Number]) -> "Columns[Number]":
        return cls(np.empty((rows, 0), dtype))

    def append(self, more: npt.NDArray[Number]) -> None:
        """Adds records behind those that are there. Shape: (rows, more records)."""
        if not more.shape[1]:
            return
        end = self.count + more.shape[1]
        if end > self._table.shape[1]:
            capacity = max(end, 2 * self._table.shape[1], FIRST_CAPACITY)
            grown: npt.NDArray[Any] = np.empty((self._table.shape[0], capacity), self._table.dtype)
            grown[:, : self.count] = self.table
            self._table = grown
        self._table[:, self.count : end] = more
        self.count = end

    def clear(self) -> None:
        """Forgets every record; the memory stays for the next, unless it was taken over and must not be written to."""
        self.count = 0
        if not self._table.flags.writeable:
            self._table = self.table

    @property
    def table(self) -> npt.NDArray[Number]:
        """What was appended so far. Shape: (rows, count)."""
        return self._table[:, : self.count]
