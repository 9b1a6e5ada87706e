"""Closed loop: for how long slots stood empty before their first request and after their last, while load was wanted.

Owns: those two gaps of one worker's slots in one phase. Does not own: the gap between two requests, which is in the
record of the later one (`rearm_delay_ns`); who fills slots (`aiperf.schedule.dispatcher`). Pure.

A worker that gets its CPU seldom opens its first streams late, and frees slots that nobody fills before the load ends.
No record has either.
"""

from collections.abc import Iterable

from aiperf.units import NS_PER_S
from aiperf.wire.messages import CreditOrder, CutPhase, EndCredits, PreparePhase, SetSlots


class SlotGaps:
    """Hears every order (`take`) and every dispatch into a slot that had no request yet (`first_dispatch`)."""

    __slots__ = ("_empty_ns", "_end_ns", "_first_count", "_ramp_ns", "_slots", "_start_ns")

    def __init__(self) -> None:
        self._slots = 0
        """Whose first dispatch is waited for; 0: nothing is counted."""
        self._start_ns = self._ramp_ns = self._first_count = self._empty_ns = 0
        self._end_ns = -1
        """Until when load was wanted; -1: for ever."""

    def take(self, order: CreditOrder, now_ns: int) -> None:
        match order:
            case PreparePhase():
                self._slots, self._start_ns, self._ramp_ns = max(0, order.slots), order.start_ns, order.ramp_ns
                self._end_ns = order.stop_ns
                self._first_count = self._empty_ns = 0
            case EndCredits() | CutPhase():
                self._end_ns = now_ns if self._end_ns < 0 else min(self._end_ns, now_ns)
            case SetSlots():
                self._slots = 0  # which slots there should be is no longer known from the start

    def first_dispatch(self, now_ns: int) -> None:
        """A slot gets its first request."""
        if self._first_count < self._slots:
            opened_ns = self._start_ns + self._ramp_ns * self._first_count // self._slots
            self._first_count += 1
            self._empty_ns += max(0, now_ns - opened_ns)

    def empty_slot_s(self, freed_ns: Iterable[int]) -> float:
        """Slots times seconds. `freed_ns`: when the slots became free that got no request afterwards."""
        if not self._slots:
            return self._empty_ns / NS_PER_S
        after_ns = sum(max(0, self._end_ns - freed) for freed in freed_ns)
        return (self._empty_ns + after_ns) / NS_PER_S
