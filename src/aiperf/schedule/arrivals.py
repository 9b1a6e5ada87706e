"""The instants at which an open-loop schedule asks for requests.

Owns: arrival patterns and their exact repetition. Does not own: who sends them (`scheduler`), when the phase starts.
(pattern, rate, smoothness, seed) → offsets in ns from the start of the phase.

Arrivals are made in blocks, each from a generator of its own seeded by (seed, block number), and their gaps are whole
nanoseconds. So arrival i is the same however it is asked for, and sums carry no rounding error that could grow.
"""

from bisect import bisect_left
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from aiperf.schedule.phases import Pattern
from aiperf.units import NS_PER_S

BLOCK_COUNT = 4096
GAP_MAX_NS = 1 << 50
"""13 days: keeps the sum of a block within 63 bits at whatever rate."""

Int64Array = npt.NDArray[np.int64]


class Arrivals:
    """The stream of arrivals. `smoothness` is the shape of gamma gaps (1 is Poisson) and matters to no other pattern.

    Source: the burstiness of vLLM's serving benchmark has the same definition (gamma gaps of shape k and mean 1/rate).
    """

    def __init__(self, pattern: Pattern, rate_rps: float, smoothness: float, seed: int) -> None:
        self._pattern = pattern
        self._smoothness = smoothness
        self._seed = seed
        self._gap_ns = min(Fraction(NS_PER_S) / Fraction(rate_rps), Fraction(GAP_MAX_NS))
        self._ends_ns: list[int] = []
        """The offset of the last arrival of each block made so far; random gaps go on from there."""
        self._recent: tuple[int, Int64Array] = (-1, np.empty(0, np.int64))

    def offsets(self, first: int, count: int) -> Int64Array:
        """Arrivals first … first + count - 1. Units: ns from the start of the phase. Shape: (count,). Order: rising."""
        blocks = [self._block(number) for number in range(first // BLOCK_COUNT, (first + count - 1) // BLOCK_COUNT + 1)]
        if not blocks:
            return np.empty(0, np.int64)
        skipped = first % BLOCK_COUNT
        return np.concatenate(blocks)[skipped : skipped + count]

    def count_before(self, offset_ns: int) -> int:
        """How many arrivals lie before `offset_ns`, which is also the index of the first that does not."""
        while not self._ends_ns or self._ends_ns[-1] < offset_ns:
            self._block(len(self._ends_ns))
        number = bisect_left(self._ends_ns, offset_ns)
        return number * BLOCK_COUNT + int(np.searchsorted(self._block(number), offset_ns, side="left"))

    def _block(self, number: int) -> Int64Array:
        if self._recent[0] == number:
            return self._recent[1]
        while len(self._ends_ns) < number:
            self._block(len(self._ends_ns))
        block = self._constant(number) if self._pattern is Pattern.CONSTANT else self._random(number)
        if len(self._ends_ns) == number:
            self._ends_ns.append(int(block[-1]))
        self._recent = (number, block)
        return block

    def _constant(self, number: int) -> Int64Array:
        """round(i / rate): whole and fractional nanoseconds apart, for i * gap does not fit the 53 bits of a float."""
        start_ns = self._gap_ns * number * BLOCK_COUNT
        step = np.arange(BLOCK_COUNT)
        whole_ns = step * int(self._gap_ns) + int(start_ns)
        offsets_ns: Int64Array = whole_ns + np.rint(step * float(self._gap_ns % 1) + float(start_ns % 1)).astype(
            np.int64
        )
        return offsets_ns

    def _random(self, number: int) -> Int64Array:
        generator = np.random.default_rng((self._seed, number))
        if self._pattern is Pattern.POISSON:
            gaps_ns = generator.exponential(float(self._gap_ns), BLOCK_COUNT)
        else:
            gaps_ns = generator.gamma(self._smoothness, float(self._gap_ns) / self._smoothness, BLOCK_COUNT)
        start_ns = self._ends_ns[number - 1] if number else 0
        offsets_ns: Int64Array = np.cumsum(np.rint(np.minimum(gaps_ns, GAP_MAX_NS)).astype(np.int64)) + start_ns
        return offsets_ns
