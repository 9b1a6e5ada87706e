"""Which dataset entry a credit uses: a pure function of strategy, dataset size, seed and credit index.

Owns: the three orders. Does not own: when a credit runs (`aiperf.schedule`), what the entry holds (`store`).

Every process computes the entry of any credit by itself, in constant time and memory: no list is drawn up or shared,
and a worker that runs every 400th credit pays nothing for the others.
"""

from math import isqrt
from typing import Literal

Strategy = Literal["sequential", "random", "shuffle"]

_MASK_64 = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_NOISE_SIZE = 1024
"""A power of two, as `_shuffled` masks by one less."""


def mix(seed: int, index: int) -> int:
    """A 64-bit hash of both: output `index` of a SplitMix64 generator that starts at `seed`.

    Source: Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014.
    """
    z = (seed + (index + 1) * _GOLDEN) & _MASK_64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK_64
    return z ^ (z >> 31)


class Sampler:
    """The order in which credits use the entries of a dataset."""

    __slots__ = ("_columns", "_epoch", "_keys", "_noise", "_rows", "_seed", "_size", "entry_index")

    def __init__(self, strategy: Strategy, entry_count: int, seed: int) -> None:
        """Raises: ValueError if there is no entry."""
        if entry_count < 1:
            raise ValueError("a dataset has at least one entry")
        self._size = entry_count
        self._seed = mix(seed, 0)
        self._rows = isqrt(entry_count - 1) + 1
        self._columns = -(-entry_count // self._rows)
        self._noise = [mix(~seed, index) >> 34 for index in range(_NOISE_SIZE)] if strategy == "shuffle" else []
        self._epoch = -1
        self._keys = [0] * 6
        orders = {"sequential": self._sequential, "random": self._random, "shuffle": self._shuffled}
        self.entry_index = orders[strategy]
        """`entry_index(credit_index)`: the entry of a credit."""

    def _sequential(self, credit_index: int) -> int:
        return credit_index % self._size

    def _random(self, credit_index: int) -> int:
        return (mix(self._seed, credit_index) * self._size) >> 64

    def _shuffled(self, credit_index: int) -> int:
        """Every epoch of `entry_count` credits uses each entry once, in an order of its own.

        A Feistel network over the cells of a rows x columns table that is barely larger than the dataset is a
        permutation of the cells; a cell outside the dataset is sent through it again until it falls inside. Its round
        functions are windows of a table of noise, at places that change with the epoch.
        """
        epoch, cell = divmod(credit_index, self._size)
        if epoch != self._epoch:
            self._epoch = epoch
            bits = mix(self._seed, epoch)
            self._keys = [bits >> shift & 1023 for shift in range(0, 60, 10)]
        key_0, key_1, key_2, key_3, key_4, key_5 = self._keys
        rows, columns, noise = self._rows, self._columns, self._noise
        while True:
            row, column = divmod(cell, columns)
            row = (row + noise[(column + key_0) & 1023]) % rows
            column = (column + noise[(row + key_1) & 1023]) % columns
            row = (row + noise[(column + key_2) & 1023]) % rows
            column = (column + noise[(row + key_3) & 1023]) % columns
            row = (row + noise[(column + key_4) & 1023]) % rows
            column = (column + noise[(row + key_5) & 1023]) % columns
            cell = row * columns + column
            if cell < self._size:
                return cell
