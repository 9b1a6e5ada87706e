"""How the event loop drives the HTTP client: when it looks at ready sockets, at deadlines, at quiet sockets.

Owns: the loop's handles. Does not own: what is done then (`client`), how long the intervals are (`tempo`).

*Glances.* A look at the selector that does not name a socket proves that it had nothing to read. While the loop sleeps
nobody looks, and all that then comes in one read would be known to lie anywhere in that sleep. So while streams are in
flight the client looks again when nobody has for 1/32 of the latency to be expected, within 2 to 10 ms. Events that
share a read are thereby known to within 3 % of their latency, or 3 ms (the loop's timers have steps of 1 ms). Under
load every batch of ready sockets is such a look, and glances are left out. A starved process does not glance; its
intervals grow, as they must.

*Gathering.* The kernel has stamped what arrived, so reading it a little later costs no truth, as long as no later bytes
of the same stream join it and the slot that it frees is not kept waiting. With many slow streams in flight the client
therefore looks at fixed times, every 1 to 10 ms (`tempo`), instead of being woken for each chunk. At 2,000 chunks a
second that takes a third of the CPU time. Whatever is urgent (`hurry`) ends it until the next tick.

Why not every millisecond: what costs is being woken, on a virtual machine 30 to 80 µs: with requests of a second one by
one 0.4 to 0.6 % of a core; every millisecond it would be 3 %.
"""

import asyncio
from collections.abc import Callable

from aiperf.units import NS_PER_MS, NS_PER_S

TICK_INTERVAL_S = 0.05
"""How often deadlines are looked at: the granularity of timeouts."""
POLL_INTERVAL_S = 0.001
"""How often a selector without a descriptor of its own is asked."""
_BATCHES_PER_GATHERING = 4
"""Full ones, before others on the loop get their turn."""


class Drive:
    """Drives from its making until `stop`.

    `drain` reads what is ready and says whether there may be more; `tick` looks at deadlines and says how long what
    arrives until the next tick may wait to be read (0: not at all). `glance_due_ns(now_ns)` says when a glance is due,
    on the clock of `now_ns`; -1: not now, ask again at the next tick.
    """

    __slots__ = (
        "_descriptor", "_drain", "_gather", "_gather_s", "_glance", "_glance_due_ns", "_loop", "_now_ns", "_tick",
        "_ticker",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        descriptor: int,
        drain: Callable[[], bool],
        tick: Callable[[], int],
        now_ns: Callable[[], int],
        glance_due_ns: Callable[[int], int],
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._drain = drain
        self._tick = tick
        self._now_ns = now_ns
        self._glance_due_ns = glance_due_ns
        self._glance: asyncio.TimerHandle | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._gather: asyncio.TimerHandle | None = None
        """Set while sockets are looked at by this timer alone."""
        self._gather_s = 0.0
        if descriptor >= 0:
            loop.add_reader(descriptor, drain)
            self._ticker = loop.call_later(TICK_INTERVAL_S, self._on_tick)
        else:
            self._ticker = loop.call_later(POLL_INTERVAL_S, self._on_poll)

    def stop(self) -> None:
        self.hurry()
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
        for handle in (self._glance, self._ticker):
            if handle is not None:
                handle.cancel()
        self._glance = self._ticker = None

    def hurry(self) -> None:
        """Something must not wait: sockets are read as soon as they are ready, until a tick allows otherwise."""
        if self._gather is not None:
            self._gather.cancel()
            self._gather = None
            self._loop.add_reader(self._descriptor, self._drain)

    def _on_tick(self) -> None:
        self._ticker = self._loop.call_later(TICK_INTERVAL_S, self._on_tick)
        gather_ns = self._tick()
        if self._ticker is None:
            return  # stopped meanwhile
        if not gather_ns:
            self.hurry()
        elif self._gather is None:
            self._loop.remove_reader(self._descriptor)
            self._gather_s = gather_ns / NS_PER_S
            self._gather = self._loop.call_later(self._gather_s, self._on_gather)
        else:
            self._gather_s = gather_ns / NS_PER_S
        if self._glance is None and self._gather is None:
            self._on_glance()

    def _on_gather(self) -> None:
        self._gather = self._loop.call_later(self._gather_s, self._on_gather)
        for _ in range(_BATCHES_PER_GATHERING):
            if not self._drain() or self._gather is None:
                break

    def _on_poll(self) -> None:
        """Every look of a selector without descriptor is a glance too."""
        self._ticker = self._loop.call_later(POLL_INTERVAL_S, self._on_poll)
        self._drain()
        if self._ticker is not None:
            self._tick()

    def _on_glance(self) -> None:
        now_ns = self._now_ns()
        due_ns = self._glance_due_ns(now_ns)
        if 0 <= due_ns <= now_ns:
            self._drain()
            now_ns = self._now_ns()
            due_ns = self._glance_due_ns(now_ns)
        if due_ns < 0 or self._ticker is None or self._gather is not None:
            self._glance = None
        else:
            delay_s = max(due_ns - now_ns, NS_PER_MS) / NS_PER_S
            self._glance = self._loop.call_later(delay_s, self._on_glance)
