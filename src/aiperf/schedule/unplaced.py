"""Slots of a concurrency that no worker holds: how many, for how long.

Owns: the sum over a phase. Does not own: who holds how many (`scheduler`). A slot that is asked back and not yet let go
counts as held. Without this sum a closed loop on too few workers would look like one that was asked for less.
"""


class UnplacedSlots:
    """Of `concurrency` slots; with 0, no cap, nothing is ever unplaced."""

    def __init__(self, concurrency: int) -> None:
        self._unplaced = concurrency
        self._concurrency = concurrency
        self._since_ns = -1
        self._ended = False
        self.slot_ns = 0

    def hold(self, now_ns: int, count: int) -> None:
        """From now on so many more are held; negative: fewer. The first call is at the start of the phase."""
        if not self._concurrency or self._ended:
            return
        self._add_up(now_ns)
        self._unplaced -= count

    def end(self, now_ns: int) -> None:
        """Nothing is to be dispatched any more."""
        self._add_up(now_ns)
        self._ended = True

    def _add_up(self, now_ns: int) -> None:
        if self._ended:
            return
        if self._since_ns >= 0:
            self.slot_ns += max(0, now_ns - self._since_ns) * max(0, self._unplaced)
        self._since_ns = max(now_ns, self._since_ns)
