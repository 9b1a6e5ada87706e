"""Names to addresses, without holding up the timing path.

Owns: numeric addresses told from names, lookups in threads of their own. Does not own: when a name is looked up again
(`pool`), how long that took for a request (`dialer`). A name in, addresses or a `Failure` out.

`getaddrinfo` cannot be interrupted, so each lookup runs in a daemon thread: nothing waits for it at exit. There is at
most one per target at a time.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from aiperf.endpoint.failures import Failure, name_failure


class Address(NamedTuple):
    family: int
    socket_address: tuple[Any, ...]
    """As `socket.connect` takes it."""


def numeric_address(host: str, port: int) -> Address | None:
    """The address that `host` spells; None if it is a name."""
    if ":" in host:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            return None
        return Address(int(found[0][0]), found[0][4])
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        return None
    return Address(socket.AF_INET, (host, port))


class Resolver:
    """Looks names up. `wake` is called from another thread whenever a lookup is over."""

    def __init__(self, wake: Callable[[], None], getaddrinfo: Callable[..., Any] = socket.getaddrinfo) -> None:
        self._wake = wake
        self._getaddrinfo = getaddrinfo
        self._finished: SimpleQueue[tuple[int, list[Address] | Failure]] = SimpleQueue()

    def look_up(self, key: int, host: str, port: int) -> None:
        """Starts a lookup; its result comes out of `finished` under `key`."""
        threading.Thread(target=self._run, args=(key, host, port), name=f"resolve-{host}", daemon=True).start()

    def finished(self) -> Iterator[tuple[int, list[Address] | Failure]]:
        """Takes out the results that are there."""
        while True:
            try:
                yield self._finished.get_nowait()
            except Empty:
                return

    def _run(self, key: int, host: str, port: int) -> None:
        result: list[Address] | Failure
        try:
            found = self._getaddrinfo(host, port, type=socket.SOCK_STREAM)
            # A name may be listed once per protocol; each address counts once, in the resolver's order (RFC 6724).
            result = list(dict.fromkeys(Address(int(entry[0]), entry[4]) for entry in found))
        except (OSError, UnicodeError) as error:
            result = name_failure(error if isinstance(error, OSError) else OSError(str(error)), host)
        self._finished.put((key, result))
        self._wake()
