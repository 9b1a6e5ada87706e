"""Who was heard of when.

Owns: the judgement that a service is silent. Does not own: sending heartbeats (`membership`), what silence means
(`worker_manager`, `run_lifecycle`), how long it may last (`cadence`). Pure.
"""

from aiperf.units import ns_from_s


class HeartbeatWatch:
    """Ask it about once a second: from a longer pause it concludes that the listener itself was stopped."""

    def __init__(self, silence_limit_s: float) -> None:
        self._silence_limit_ns = ns_from_s(silence_limit_s)
        self._last_heard_ns: dict[str, int] = {}
        self._asked_ns: int | None = None
        self.reason = f"no sign of life for {silence_limit_s:g} s"
        """Why a silent service counts as lost."""

    def heard(self, service_id: str, now_ns: int) -> None:
        self._last_heard_ns[service_id] = now_ns

    def take_silent(self, now_ns: int) -> list[str]:
        """Services silent for longer than the limit; each is named once."""
        asked_ns, self._asked_ns = self._asked_ns, now_ns
        if asked_ns is not None and now_ns - asked_ns > self._silence_limit_ns / 2:
            # A suspended laptop: nobody could be heard meanwhile. Those that are alive will be heard again.
            self._last_heard_ns = dict.fromkeys(self._last_heard_ns, now_ns)
        silent = [name for name, heard_ns in self._last_heard_ns.items() if now_ns - heard_ns > self._silence_limit_ns]
        for name in silent:
            del self._last_heard_ns[name]
        return silent
