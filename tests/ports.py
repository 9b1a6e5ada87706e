"""Ports for tests that run beside others, on a machine where every moment somebody binds or connects.

A port that was bound and closed again is nobody's: the next server of another test may get it, and so may a connect as
its own end, which then reaches itself.
"""

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

BELOW_EPHEMERAL = range(20_000, 32_000)
"""The kernel gives these to nobody who has not asked for that very one."""


@contextmanager
def dead_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that refuses connections for as long as the context lasts: it is taken, and nobody listens."""
    with socket.socket() as holder:
        holder.bind((host, 0))
        yield holder.getsockname()[1]


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which nothing listens, to listen on later."""
    while True:
        port = random.choice(BELOW_EPHEMERAL)
        with socket.socket() as trial:
            try:
                trial.bind((host, port))
            except OSError:
                continue
        return port


def ipv6_loopback_is_there() -> bool:
    """Whether this machine has ::1: some containers have no IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True
