"""Closed loop: for how long slots stood empty before their first request, after their last, or without any.

Owns: those gaps, while load was wanted, of one worker's slots in one phase. Does not own: the gap between two requests,
which is in the record of the later one (`rearm_delay_ns`); who fills slots (`aiperf.schedule.dispatcher`). Pure.

A worker that gets its CPU seldom opens its first streams late, and frees slots that nobody fills before the load ends.
No record has either.
"""

from collections.abc import Iterable

from aiperf.schedule.slot_ramp import SlotRamp
from aiperf.units import NS_PER_S
from aiperf.wire.messages import CreditOrder, CutPhase, EndCredits, PreparePhase, SetSlots


class SlotGaps:
    """Hears every order (`take`) and every dispatch into a slot that had no request yet (`first_dispatch`)."""

    __slots__ = ("_empty_ns", "_end_ns", "_first_count", "_ramp", "_since_ns")

    def __init__(self) -> None:
        self._ramp = SlotRamp()
        """Of the slots whose first dispatch is waited for; without slots nothing is counted."""
        self._since_ns = self._first_count = self._empty_ns = 0
        """Until `_since_ns` slots without a request are counted."""
        self._end_ns = -1
        """Until when load was wanted; -1: for ever."""

    def take(self, order: CreditOrder, now_ns: int) -> None:
        match order:
            case PreparePhase():
                slots = max(0, order.slots) if order.closed_loop else 0
                self._ramp = SlotRamp(order.start_ns, order.ramp_ns, slots)
                self._end_ns, self._since_ns = order.stop_ns, order.start_ns
                self._first_count = self._empty_ns = 0
            case EndCredits() | CutPhase():
                self._end_ns = now_ns if self._end_ns < 0 else min(self._end_ns, now_ns)
            case SetSlots():
                self._empty_ns += self._never_filled_ns(now_ns)
                self._since_ns = max(now_ns, self._ramp.start_ns)
                # Of fewer slots than before nobody knows which were taken away: then nothing more is counted.
                slots = order.slots if self._ramp.slots and order.slots >= self._ramp.slots else 0
                self._ramp = self._ramp._replace(slots=slots)

    def first_dispatch(self, now_ns: int) -> None:
        """A slot gets its first request."""
        if self._first_count < self._ramp.slots:
            opened_ns = max(self._since_ns, self._ramp.opens_ns(self._first_count))
            self._first_count += 1
            self._empty_ns += max(0, now_ns - opened_ns)

    def empty_slot_s(self, freed_ns: Iterable[int], now_ns: int) -> float:
        """Slots times seconds, until now. `freed_ns`: when slots became free that got no request afterwards."""
        if not self._ramp.slots:
            return self._empty_ns / NS_PER_S
        after_ns = sum(max(0, self._end_ns - freed) for freed in freed_ns)
        return (self._empty_ns + self._never_filled_ns(now_ns) + after_ns) / NS_PER_S

    def _never_filled_ns(self, now_ns: int) -> int:
        end_ns = now_ns if self._end_ns < 0 else min(self._end_ns, now_ns)
        return self._ramp.open_slot_ns(self._first_count, self._since_ns, end_ns)
