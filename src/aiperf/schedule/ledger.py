"""The account of credits: what a worker returns, and the sum of it over a phase.

Owns: `CreditReturn` (worker → timing manager), `Ledger` and the equations it must satisfy. Does not own: who counts.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple


class CreditReturn(NamedTuple):
    """What became of a worker's credits since its last return, and how it stands now."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    censored: int = 0
    unused: bytes = b""
    """int64 indices handed back without having been dispatched."""
    queued: int = 0
    """Credits in hand, not yet dispatched."""
    overdue: int = 0
    """Of those, how many are past their due instant."""
    in_flight: int = 0
    idle_slots: int = 0
    """`in_flight + idle_slots` are the slots the worker goes by; -1: it has no limit."""
    drained: bool = False
    """Nothing in hand, nothing in flight, and it knows that no credits will follow."""

    @property
    def ended_count(self) -> int:
        """Requests that ended since the last return."""
        return self.completed + self.failed + self.cancelled + self.censored


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every credit of a phase, by what became of it."""

    issued: int = 0
    """Credits handed to workers and not handed back."""
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    censored: int = 0
    lost: int = 0
    """Unreturned credits of lost workers: dispatched or not, their outcome is unknown."""
    unsent: int = 0
    """Open loop: arrivals that were due before the phase ended, yet no worker dispatched them."""
    offered: int = 0
    """Arrivals the schedule asked for until the phase ended; in closed loop the slots ask, and it is `issued`."""

    @property
    def reconciles(self) -> bool:
        """Whether every issued credit ended in exactly one way and every arrival was issued or is known as unsent."""
        ended = self.completed + self.failed + self.cancelled + self.censored + self.lost
        return self.issued == ended and self.offered == self.issued + self.unsent

    def settled(self, completed_records: int, failed_records: int) -> "Ledger":
        """The account once the records are in: a lost worker's records may have arrived without the return of their
        credits. What became of these is known, so they are not lost.
        """
        known = completed_records + failed_records - self.completed - self.failed
        settled = max(0, min(known, self.lost))
        failed = max(0, min(settled, failed_records - self.failed))
        completed = settled - failed
        return replace(
            self, completed=self.completed + completed, failed=self.failed + failed, lost=self.lost - settled
        )
