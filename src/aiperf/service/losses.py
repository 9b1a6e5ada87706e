"""What was lost in a run, and how it is told: once, with what went along, and as long as a replacement may come.

Owns: the memory of losses, their words, the patience of a load without workers. Does not own: what follows from a loss
(`run_lifecycle`). Pure.
"""

from collections.abc import Sequence

from aiperf.service.roster import Roster
from aiperf.units import NS_PER_S
from aiperf.wire.messages import HostLost, ServiceLost

REPLACEMENT_LIMIT_S = 120
"""When the last worker is lost, the load waits so long for another to be ready. A cluster starts one ten seconds or
more after the loss, and later each time; then it has a node and an image to find."""


class Losses:
    def __init__(self, roster: Roster, startup_limit_s: int) -> None:
        self.services: list[ServiceLost] = []
        """Those that had a part in the run."""
        self._roster = roster
        self._limit_s = min(REPLACEMENT_LIMIT_S, startup_limit_s)
        self._starting: set[tuple[str, str]] = set()
        """Places whose host was lost before the load began, and why."""
        self._told: set[tuple[str, int]] = set()
        """Machines of which a loss was told."""
        self._bereft: tuple[str, int] | None = None
        """Without any worker (or record processor): why, and until when a replacement may come."""

    def is_news(self, service_id: str) -> bool:
        """Whether its loss is to be told: what was beside one that is lost went with it, as was told then."""
        place = self._roster.place(service_id)
        is_news = not place[0] or place not in self._told
        self._told.add(place)
        return is_news

    def forget(self, service_id: str) -> None:
        """It is back, under its old name."""
        self._told.discard(self._roster.place(service_id))

    def befell_before(self, host_id: str, lost: HostLost) -> bool:
        """Whether a host of that place was lost for this reason once already; the loss counts from now on."""
        befell = host_id, lost.reason
        before = befell in self._starting
        self._starting.add(befell)
        return before

    def begin_to_wait(self, reason: str, now_ns: int) -> str:
        """The last of a kind is lost, and a replacement may come. What is to be told; nothing if it was."""
        if self._bereft is not None:
            return ""
        text = f"{reason}; no replacement was ready within {self._limit_s} s"
        self._bereft = text, now_ns + self._limit_s * NS_PER_S
        return f"no worker is left: the load waits for a replacement, up to {self._limit_s} s"

    def waited_in_vain(self, *, is_one_ready: bool, now_ns: int) -> str:
        """Why the load ends, if it has waited long enough; else nothing."""
        if self._bereft is None:
            return ""
        reason, until_ns = self._bereft
        if not is_one_ready and now_ns < until_ns:
            return ""
        self._bereft = None
        return "" if is_one_ready else reason


def in_words(lost: ServiceLost, stranded: Sequence[str], *, starting: bool = False) -> str:
    """`stranded`: workers that leave with it, since they reach no other record processor."""
    along = f"; {', '.join(stranded)} beside it leaves, too" if stranded else ""
    return f"{lost.service_id} was lost{' while starting' if starting else ''}: {lost.reason}{along}"
