"""How the slots of a worker's share open: at once, or one after the other.

Owns: for how long slots are open within a span of time. Does not own: what fills them (`dispatcher`). Pure.
"""

from typing import NamedTuple


class SlotRamp(NamedTuple):
    """Slot k of `slots` opens at `start_ns + ramp_ns * k / slots`."""

    start_ns: int = 0
    ramp_ns: int = 0
    slots: int = 0

    def opens_ns(self, slot: int) -> int:
        """When the slot opens."""
        return self.start_ns + self.ramp_ns * slot // self.slots

    def open_slot_ns(self, first: int, since_ns: int, until_ns: int) -> int:
        """Slots times ns that the slots from `first` on are open within the span. 0 if it is empty.

        In a ramp to within a nanosecond for each slot.
        """
        since_ns = max(since_ns, self.start_ns)
        if first >= self.slots or until_ns <= since_ns:
            return 0
        already = max(first, self._open_count(since_ns))
        later = max(already, self._open_count(until_ns))
        count = later - already
        opened_ns = count * self.start_ns + self.ramp_ns * (count * (already + later - 1) // 2) // self.slots
        return (already - first) * (until_ns - since_ns) + count * until_ns - opened_ns

    def _open_count(self, at_ns: int) -> int:
        """How many slots are open at an instant that is not before the start."""
        if not self.ramp_ns:
            return self.slots
        return min(self.slots, (at_ns - self.start_ns) * self.slots // self.ramp_ns + 1)
