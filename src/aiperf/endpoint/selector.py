"""Which sockets are ready: one set of descriptors, asked without waiting.

Owns: the platform's readiness calls behind three methods (epoll on Linux, kqueue on macOS, poll as the last resort).
Does not own: waiting. The set's own descriptor is watched by the event loop that runs everything else; `poll` has none
and is asked on a timer.

The masks of epoll and of poll share their numbers, so readiness is passed on as it comes.
"""

import select
import sys
from collections.abc import Callable
from typing import Literal, Protocol

from aiperf.errors import InfrastructureError

READABLE = 1
WRITABLE = 4
BATCH_MAX = 256
"""At most so many ready sockets a call: the event loop gets its turn after about two milliseconds of work."""

Ready = list[tuple[int, int]]
"""(descriptor, mask); a mask may carry error and hang-up bits that were not asked for."""


class Selector(Protocol):
    """A set of watched descriptors. All are watched for reading (level-triggered), some for writing too."""

    ready: Callable[[], Ready]
    """The descriptors that are ready now; never waits."""
    ready_max: int
    """With fewer than so many, `ready()` named all that are."""

    def fileno(self) -> int:
        """The descriptor that is readable while `ready()` has something to say; -1 if there is none."""
        ...

    def add(self, descriptor: int, *, writable: bool) -> None: ...
    def change(self, descriptor: int, *, writable: bool) -> None: ...
    def remove(self, descriptor: int) -> None: ...
    def close(self) -> None: ...


class Poll:
    """Works everywhere, costs time in proportion to all watched sockets."""

    __slots__ = ("_poll", "ready", "ready_max")

    def __init__(self) -> None:
        self._poll = select.poll()
        poll = self._poll.poll
        self.ready_max = sys.maxsize
        self.ready: Callable[[], Ready] = lambda: poll(0)

    def fileno(self) -> int:
        return -1

    def add(self, descriptor: int, *, writable: bool) -> None:
        self._poll.register(descriptor, READABLE | WRITABLE if writable else READABLE)

    def change(self, descriptor: int, *, writable: bool) -> None:
        self._poll.modify(descriptor, READABLE | WRITABLE if writable else READABLE)

    def remove(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)

    def close(self) -> None:
        pass


if sys.platform == "linux":

    class Epoll:
        """The way of Linux. `remove` is left to the kernel: a closed socket leaves the set by itself."""

        __slots__ = ("_epoll", "ready", "ready_max")

        def __init__(self) -> None:
            self._epoll = select.epoll()
            poll = self._epoll.poll
            self.ready_max = BATCH_MAX
            self.ready: Callable[[], Ready] = lambda: poll(0, BATCH_MAX)

        def fileno(self) -> int:
            return self._epoll.fileno()

        def add(self, descriptor: int, *, writable: bool) -> None:
            self._epoll.register(descriptor, READABLE | WRITABLE if writable else READABLE)

        def change(self, descriptor: int, *, writable: bool) -> None:
            self._epoll.modify(descriptor, READABLE | WRITABLE if writable else READABLE)

        def remove(self, descriptor: int) -> None:
            pass

        def close(self) -> None:
            self._epoll.close()

    _NATIVE: dict[str, Callable[[], Selector]] = {"epoll": Epoll}

elif sys.platform == "darwin":

    class Kqueue:
        """The way of macOS. `remove` is left to the kernel: a closed socket leaves the set by itself."""

        __slots__ = ("_kqueue", "ready", "ready_max")

        def __init__(self) -> None:
            self._kqueue = select.kqueue()
            self.ready_max = BATCH_MAX
            self.ready: Callable[[], Ready] = self._ready

        def fileno(self) -> int:
            return self._kqueue.fileno()

        def _ready(self) -> Ready:
            events = self._kqueue.control(None, BATCH_MAX, 0)
            return [(event.ident, READABLE if event.filter == select.KQ_FILTER_READ else WRITABLE) for event in events]

        def add(self, descriptor: int, *, writable: bool) -> None:
            changes = [select.kevent(descriptor, select.KQ_FILTER_READ, select.KQ_EV_ADD)]
            if writable:
                changes.append(select.kevent(descriptor, select.KQ_FILTER_WRITE, select.KQ_EV_ADD))
            self._kqueue.control(changes, 0, 0)

        def change(self, descriptor: int, *, writable: bool) -> None:
            flags = select.KQ_EV_ADD if writable else select.KQ_EV_DELETE
            self._kqueue.control([select.kevent(descriptor, select.KQ_FILTER_WRITE, flags)], 0, 0)

        def remove(self, descriptor: int) -> None:
            pass

        def close(self) -> None:
            self._kqueue.close()

    _NATIVE: dict[str, Callable[[], Selector]] = {"kqueue": Kqueue}

else:
    _NATIVE: dict[str, Callable[[], Selector]] = {}


def make_selector(kind: Literal["auto", "epoll", "kqueue", "poll"]) -> Selector:
    """The selector asked for; `auto` is the platform's best. Raises: InfrastructureError if it does not have it."""
    if kind == "poll" or (kind == "auto" and not _NATIVE):
        return Poll()
    make = next(iter(_NATIVE.values())) if kind == "auto" else _NATIVE.get(kind)
    if make is None:
        raise InfrastructureError(f"{kind} does not exist on this platform; use --io-selector auto")
    return make()
