"""The orders on the way of credits: how they are numbered, and which of them ought to have arrived.

Owns: the next number of each worker, the judgement that an order did not arrive. Does not own: sending, what a loss
means (`timing_manager`). Pure.

A worker finds a gap itself by the next order. An order that none follows (`EndCredits`) would be missed in silence; so
each return says how many have come, and a worker that stays behind is known here.
"""

from collections import Counter

from aiperf.units import NS_PER_S

ARRIVAL_LIMIT_NS = 15 * NS_PER_S
"""A worker that has not confirmed an order for so long has not got it: returns follow every second at the least."""


class OrderBook:
    """Ask `overdue` about once a second: from a longer pause it concludes that this process itself was stopped."""

    def __init__(self, limit_ns: int = ARRIVAL_LIMIT_NS) -> None:
        self._limit_ns = limit_ns
        self._numbers: Counter[str] = Counter()
        """The next one, by worker."""
        self._awaited: dict[str, tuple[int, int]] = {}
        """By worker: how many orders it has to confirm, and since when that is waited for."""
        self._asked_ns: int | None = None

    def begin(self, worker: str) -> None:
        """Orders to it are counted from zero."""
        self.forget(worker)

    def number(self, worker: str, now_ns: int) -> int:
        """The number of the next order to this worker, which is sent now."""
        number = self._numbers[worker]
        self._numbers[worker] += 1
        self._awaited.setdefault(worker, (number + 1, now_ns))
        return number

    def confirm(self, worker: str, count: int, now_ns: int, *, is_last: bool) -> None:
        """So many orders have reached it. `is_last`: it says no more in this phase."""
        awaited = self._awaited.get(worker)
        if is_last:
            self._awaited.pop(worker, None)
        elif awaited is not None and count >= awaited[0]:
            del self._awaited[worker]
            if self._numbers[worker] > count:
                self._awaited[worker] = self._numbers[worker], now_ns

    def forget(self, worker: str) -> None:
        self._numbers.pop(worker, None)
        self._awaited.pop(worker, None)

    def overdue(self, now_ns: int) -> list[str]:
        """Workers that an order did not reach."""
        asked_ns, self._asked_ns = self._asked_ns, now_ns
        if asked_ns is not None and now_ns - asked_ns > self._limit_ns / 2:
            self._awaited = {worker: (count, now_ns) for worker, (count, _) in self._awaited.items()}
        return [worker for worker, (_, since_ns) in self._awaited.items() if now_ns - since_ns > self._limit_ns]
