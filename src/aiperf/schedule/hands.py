"""The timing manager's book on one worker: its slots, what it was given, what came back.

Owns: one `Hand` per worker of a phase. Does not own: decisions (`lending`, `scheduler`).
"""

from dataclasses import dataclass

from aiperf.schedule.ledger import CreditReturn
from aiperf.units import NS_PER_MS, NS_PER_S

USE_WINDOW_NS = 100 * NS_PER_MS
"""Over how long use is measured: returns may follow each other closely, and a rate over that would be noise."""


@dataclass(slots=True)
class Hand:
    """One worker. Counts are of credits in this phase."""

    worker: str
    slots_max: int
    slots: int
    """As last ordered; -1: no limit."""
    slots_held: int
    """The most it may be using: while an order to lower its slots is unconfirmed, still the number before."""
    settled: bool = True
    """No order of slots is unconfirmed."""
    given: int = 0
    returned: int = 0
    """Ended or handed back."""
    overdue: int = 0
    in_flight: int = 0
    idle_slots: int = 0
    used_per_s: float = 0.0
    """How fast it used up credits lately."""
    window_start_ns: int = -1
    window_count: int = 0
    stopped: bool = False
    """It handed credits back, so it will dispatch no more."""
    drained: bool = False

    @property
    def outstanding(self) -> int:
        """Credits given whose fate is unknown yet."""
        return self.given - self.returned

    @property
    def movable(self) -> bool:
        """Whether its slots may be changed now. One that has stopped keeps them for what it still has in flight."""
        return self.settled and not self.stopped

    def order_slots(self, slots: int) -> None:
        """Books a change of slots. Only for a settled hand: of one order at a time it is known what confirms it."""
        self.settled = False
        self.slots_held = max(slots, self.slots)
        self.slots = slots

    def book(self, report: CreditReturn, now_ns: int) -> None:
        """Books a return: what came back, how the worker stands, and whether it confirms the slots ordered last.

        A worker goes by the number before until it has the order, and `in_flight + idle_slots` is that number then;
        after the order it stays above a lowered number until enough requests have ended. So equality is confirmation.
        """
        unused_count = len(report.unused) // 8
        self.returned += report.ended_count + unused_count
        self.stopped = self.stopped or unused_count > 0
        self.drained = report.drained
        self.overdue, self.in_flight, self.idle_slots = report.overdue, report.in_flight, report.idle_slots
        if report.in_flight + report.idle_slots == self.slots:
            self.slots_held, self.settled = self.slots, True
        self._measure_use(report.ended_count, now_ns)

    def _measure_use(self, ended_count: int, now_ns: int) -> None:
        self.window_count += ended_count
        if self.window_start_ns < 0:
            self.window_start_ns, self.window_count = now_ns, 0
        elif now_ns - self.window_start_ns >= USE_WINDOW_NS:
            self.used_per_s = self.window_count * NS_PER_S / (now_ns - self.window_start_ns)
            self.window_start_ns, self.window_count = now_ns, 0
