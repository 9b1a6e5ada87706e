"""The worker's decision which credit to dispatch when: its hand of credits and its slots, for one phase at a time.

Owns: the order of credits in hand, the slots, start and stop by the worker's own clock, the counts that go back to the
timing manager. Does not own: timers (the worker sleeps until `wake_ns`), sending, cutting what is in flight, messages.
In: credits, instants, ends of requests → out: credit indices, `CreditReturn`.

`next` and `finished` run once per request; everything else runs once per message.
"""

from collections import deque
from typing import Any, NamedTuple

import numpy as np

from aiperf.schedule.ledger import CreditReturn
from aiperf.schedule.slot_ramp import SlotRamp

NONE = -1
NO_LIMIT = 1 << 62


class StarvedSlots(NamedTuple):
    """Slots idle for want of credits, from `first` on, until the stop."""

    ramp: SlotRamp = SlotRamp()
    first: int = 0
    stop_ns: int = NO_LIMIT

    def slot_ns(self, since_ns: int, until_ns: int) -> int:
        """Slots times ns that they are open, and so starve, within the span."""
        return self.ramp.open_slot_ns(self.first, since_ns, min(until_ns, self.stop_ns))


class Dispatcher:
    """The credits in hand and the slots to run them in.

    `slots_max`: requests this worker can have in flight whatever it is told (its file limit); -1: no such limit.
    """

    __slots__ = (
        "_counts", "_due_ns", "_ended", "_indices", "_limit", "_ramp_ns", "_slots_max", "_start_ns", "_stop_ns",
        "_unlimited", "in_flight", "last_due_ns",
    )  # fmt: skip

    def __init__(self, slots_max: int = NONE) -> None:
        self._slots_max = NO_LIMIT if slots_max == NONE else slots_max
        self.prepare(0, NO_LIMIT, NONE)

    def prepare(self, slots: int, start_ns: int, stop_ns: int, ramp_ns: int = 0) -> None:
        """Begins a phase with an empty hand. -1: no limit of slots, no stop instant.

        Slot k of n opens at `start_ns + ramp_ns * k / n`.
        """
        self._indices: deque[int] = deque()
        self._due_ns: deque[int] = deque()
        """As long as `_indices` in open loop, empty in closed loop."""
        self._counts = [0, 0, 0, 0]
        self._ended = False
        self._start_ns = start_ns
        self._ramp_ns = ramp_ns
        self._stop_ns = NO_LIMIT if stop_ns == NONE else stop_ns
        self.in_flight = 0
        self.last_due_ns = NONE
        """When the credit that `next` gave last was due; -1 in closed loop."""
        self.set_slots(slots)

    def set_slots(self, slots: int) -> None:
        """From now on at most so many in flight. What is in flight beyond it may end; -1: no limit."""
        self._unlimited = slots == NONE
        self._limit = self._slots_max if slots == NONE else min(slots, self._slots_max)

    def add(self, indices: Any, due_ns: Any = None) -> None:
        """Takes credits in hand, behind those already there.

        `indices` and `due_ns` are buffers of int64; an empty or absent `due_ns` means "as soon as a slot is free".
        Order: due instants rise within a call. Across calls too, but for arrivals that another worker has handed back.
        Raises: ValueError if there is not one due instant for each credit, or some credits of a phase have none.
        """
        new_indices = np.frombuffer(indices, np.int64).tolist()
        new_due_ns = [] if due_ns is None or len(due_ns) == 0 else np.frombuffer(due_ns, np.int64).tolist()
        if new_due_ns and len(new_due_ns) != len(new_indices):
            raise ValueError(f"{len(new_indices)} credits with {len(new_due_ns)} due instants")
        if self._indices and new_indices and bool(self._due_ns) != bool(new_due_ns):
            raise ValueError("credits with and without due instants in one phase")
        is_late = bool(new_due_ns and self._due_ns) and new_due_ns[0] < self._due_ns[-1]
        self._indices.extend(new_indices)
        self._due_ns.extend(new_due_ns)
        if is_late:
            in_order = sorted(zip(self._due_ns, self._indices, strict=True))
            self._due_ns = deque(due for due, _ in in_order)
            self._indices = deque(index for _, index in in_order)

    def next(self, now_ns: int) -> int:
        """The credit to dispatch now, taking a slot; -1: none. `last_due_ns` then says when it was due."""
        indices = self._indices
        if not indices or self.in_flight >= self._limit or not self._start_ns <= now_ns < self._stop_ns:
            return NONE
        if self._ramp_ns and now_ns < self._next_slot_ns():
            return NONE
        due_ns = self._due_ns
        if due_ns:
            if due_ns[0] > now_ns:
                return NONE
            self.last_due_ns = due_ns.popleft()
        self.in_flight += 1
        return indices.popleft()

    def finished(self, outcome: int) -> None:
        """A request ended: its slot is free. `outcome`: completed 0, failed 1, cancelled 2, censored 3."""
        self._counts[outcome] += 1
        self.in_flight -= 1

    def wake_ns(self) -> int:
        """When `next` can give a credit by time alone, perhaps in the past; -1: only another event can bring one."""
        if not self._indices or self.in_flight >= self._limit:
            return NONE
        wake_ns = max(self._next_slot_ns(), self._due_ns[0] if self._due_ns else 0)
        return wake_ns if wake_ns < self._stop_ns else NONE

    def _next_slot_ns(self) -> int:
        """When the slot opens that one more in flight would take."""
        return self._start_ns + self._ramp_ns * self.in_flight // self._limit

    def end_credits(self) -> None:
        """No more credits will come in this phase: when the hand is empty and nothing is in flight, it is drained."""
        self._ended = True

    def stop(self) -> bytes:
        """Stops dispatching for the rest of the phase; the int64 indices of the credits in hand, which are handed back.

        The caller must send them back: they are in no `take_returns`. Credits that come later (they crossed the stop on
        their way) are.
        """
        self._stop_ns = NONE
        return self._hand_back()

    def take_returns(self, now_ns: int) -> CreditReturn:
        """What ended since the last call, credits handed back since, and how things stand.

        From the stop instant on it hands back what is in hand, so a worker that returns then needs no `stop`.
        """
        unused = self._hand_back() if self._indices and now_ns >= self._stop_ns else b""
        completed, failed, cancelled, censored = self._counts
        self._counts = [0, 0, 0, 0]
        return CreditReturn(
            completed=completed,
            failed=failed,
            cancelled=cancelled,
            censored=censored,
            unused=unused,
            queued=len(self._indices),
            overdue=self._overdue(now_ns),
            in_flight=self.in_flight,
            idle_slots=NONE if self._unlimited else max(0, self._limit - self.in_flight),
            drained=self.drained,
        )

    @property
    def queued(self) -> int:
        """Credits in hand."""
        return len(self._indices)

    @property
    def starved(self) -> bool:
        """Closed loop: a slot is idle, no credit is in hand, yet more may come. Worth a return at once."""
        return not self._indices and self.in_flight < self._limit and not self._ended and self._stop_ns != NONE

    def starved_slots(self) -> "StarvedSlots":
        """Closed loop: which slots are idle for want of credits, of which more may come. Holds until the next event."""
        slots = self._limit if self.starved else 0
        return StarvedSlots(SlotRamp(self._start_ns, self._ramp_ns, slots), self.in_flight, self._stop_ns)

    @property
    def drained(self) -> bool:
        """Nothing in hand, nothing in flight, and no credits will follow. Worth a return at once."""
        return self._ended and not self._indices and not self.in_flight

    def _hand_back(self) -> bytes:
        unused = np.array(self._indices, np.int64).tobytes()
        self._indices.clear()
        self._due_ns.clear()
        return unused

    def _overdue(self, now_ns: int) -> int:
        """How many of the credits in hand are past their due instant."""
        due_ns, low, high = self._due_ns, 0, len(self._due_ns)
        if not high or due_ns[0] > now_ns:
            return 0
        while (
            low < high
        ):  # bisect_right, which would take the deque for a list as well, but is typed for sequences only
            middle = (low + high) // 2
            if due_ns[middle] <= now_ns:
                low = middle + 1
            else:
                high = middle
        return low
