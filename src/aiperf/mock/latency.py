"""When each write of an answer is due, counted from the start of the request.

Owns: the latency model: constant, or lognormal with the given means. Does not own: what is written (`rendering`), nor
when a request starts. Pure, save that drawn delays advance the generator.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aiperf.mock.answer import Answer
from aiperf.mock.behaviour import Behaviour


class Latency:
    """The delays of one server process."""

    def __init__(self, behaviour: Behaviour, process: int) -> None:
        self._behaviour = behaviour
        self._random = np.random.default_rng((behaviour.seed, process))

    def offsets_ns(self, answer: Answer, ttft_ns: int, itl_ns: int) -> Sequence[int]:
        """Due time of each write. Order: that of the writes, never falling. Units: ns after the start of the request.

        Chunk k is due at TTFT plus k gaps; what is to be sent at once is due at 0; a fault's delay comes on top.
        """
        if self._behaviour.lognormal:
            return self._drawn(answer, ttft_ns, itl_ns).tolist()  # type: ignore[no-any-return]
        known = answer.offsets_ns.get((ttft_ns, itl_ns))
        if known is None:
            known = [
                delay_ns + (ttft_ns + step * itl_ns if step >= 0 else 0)
                for step, delay_ns in zip(answer.steps, answer.delays_ns, strict=True)
            ]
            answer.offsets_ns[ttft_ns, itl_ns] = known
        return known

    def _drawn(self, answer: Answer, ttft_ns: int, itl_ns: int) -> npt.NDArray[np.int64]:
        steps = np.array(answer.steps, dtype=np.int64)
        due_ns = np.zeros(int(steps.max()) + 2 if steps.size else 1)
        if due_ns.size > 1:
            due_ns[1] = self._draw(ttft_ns, self._behaviour.ttft_sigma, 1)[0]
            due_ns[2:] = self._draw(itl_ns, self._behaviour.itl_sigma, due_ns.size - 2)
        return due_ns.cumsum()[steps + 1].astype(np.int64) + np.array(answer.delays_ns, dtype=np.int64)

    def _draw(self, mean_ns: int, sigma: float, count: int) -> npt.NDArray[np.float64]:
        """Lognormal draws whose mean (not median) is as stated, so that a spread does not change the throughput."""
        if mean_ns == 0:
            return np.zeros(count)
        return self._random.lognormal(math.log(mean_ns) - sigma * sigma / 2, sigma, count)
