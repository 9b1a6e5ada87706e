"""Waits for sockets and for an instant, whichever is first.

Owns: epoll with a timerfd (Linux), poll without one (elsewhere). Does not own: what is done then (`server`).
Instants are ns on CLOCK_REALTIME, the clock of the kernel's receive stamps. If the wall clock is stepped back, what is
due waits that much longer.
"""

import contextlib
import select
import socket
import sys
import time
from typing import Protocol

from aiperf.endpoint.timerfd import ABSOLUTE, CLOCK_REALTIME, TimerDescriptor
from aiperf.units import NS_PER_MS, NS_PER_S

READABLE = select.POLLIN
WRITABLE = select.POLLOUT
# The same bits in poll and epoll.

_IDLE_S = 3600


class Poller(Protocol):
    """A set of watched descriptors."""

    def register(self, fd: int, events: int) -> None: ...

    def modify(self, fd: int, events: int) -> None: ...

    def unregister(self, fd: int) -> None: ...

    def wait(self, wake_ns: int) -> list[tuple[int, int]]:
        """What became ready, as (descriptor, events); returns with nothing at `wake_ns`. -1: no such instant."""
        ...

    def close(self) -> None: ...


def open_poller() -> Poller:
    return EpollPoller() if sys.platform == "linux" else PollPoller()


class EpollPoller:
    """An epoll set with a timerfd in it: wakes within some ten µs of the instant, and epoll alone only knows ms."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._timer = TimerDescriptor(CLOCK_REALTIME)
        self._timer_fd = self._timer.fileno()
        self._armed_ns = -1
        self._epoll.register(self._timer_fd, select.EPOLLIN | select.EPOLLET)  # by edges: it need not be read
        self.register, self.modify, self.unregister = self._epoll.register, self._epoll.modify, self._epoll.unregister

    def wait(self, wake_ns: int) -> list[tuple[int, int]]:
        timeout_s = _IDLE_S
        if wake_ns >= 0 and wake_ns != self._armed_ns:
            if wake_ns <= time.time_ns():
                timeout_s = 0
            else:
                self._timer.set(wake_ns, ABSOLUTE)
                self._armed_ns = wake_ns
        ready = self._epoll.poll(timeout_s, 1024)
        for position, (fd, _) in enumerate(ready):
            if fd == self._timer_fd:
                self._armed_ns = -1
                del ready[position]
                break
        return ready

    def close(self) -> None:
        self._timer.close()
        self._epoll.close()


class PollPoller:
    """poll(2). Its timeout knows only whole ms, so the rest of the wait is spent in asking again."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register, self.modify, self.unregister = self._poll.register, self._poll.modify, self._poll.unregister

    def wait(self, wake_ns: int) -> list[tuple[int, int]]:
        left_ns = _IDLE_S * NS_PER_S if wake_ns < 0 else max(0, wake_ns - time.time_ns())
        return self._poll.poll(left_ns // NS_PER_MS)

    def close(self) -> None:
        """Nothing is held."""


class Waker:
    """A pair of sockets by which a signal or another thread ends a wait: written to one, the other becomes readable."""

    def __init__(self) -> None:
        self.reader, self.writer = socket.socketpair()
        self.reader.setblocking(False)
        self.writer.setblocking(False)

    def wake(self) -> None:
        """Ends the wait, or the next one. No error once closed: there is nothing left to wait."""
        with contextlib.suppress(OSError):
            self.writer.send(b"\0")

    def close(self) -> None:
        self.reader.close()
        self.writer.close()
