"""How long a run waits for its services to start, and when it says for whom.

Owns: the limit and the cadence of such notices. Does not own: who is missing (`roster`), what the end of patience means
(`run_lifecycle`). Pure.
"""

from aiperf.units import NS_PER_S

FIRST_WORD_NS = 10 * NS_PER_S
"""A start that takes no longer is not spoken of."""
INTERVAL_NS = 5 * NS_PER_S
"""At most one notice in so long."""
REPEAT_NS = 60 * NS_PER_S
"""Nothing new is said again after so long: it is still waited for."""


class Patience:
    """With one step of the start at a time."""

    def __init__(self, limit_ns: int, now_ns: int) -> None:
        self.limit_ns = limit_ns
        self._since_ns = self._spoken_ns = now_ns
        self._said = ""

    def renew(self, limit_ns: int, now_ns: int) -> None:
        """A next step has begun."""
        self.limit_ns, self._since_ns = limit_ns, now_ns

    def is_over(self, now_ns: int) -> bool:
        return now_ns >= self._since_ns + self.limit_ns

    def word(self, text: str, now_ns: int) -> str:
        """`text` if it is to be said now, else nothing."""
        silent_ns = now_ns - self._spoken_ns
        if now_ns - self._since_ns < FIRST_WORD_NS or silent_ns < (REPEAT_NS if text == self._said else INTERVAL_NS):
            return ""
        self._spoken_ns, self._said = now_ns, text
        return text
