"""Ports of loopback that a run's services will listen on, kept for them from before the services are there.

Owns: the sockets that keep them. Does not own: who listens there.

A socket that is bound and does not listen keeps the port ours: others cannot bind it, and it gets no connections. Who
shall listen binds it too, which the kernel allows to sockets of the same user that all say so (SO_REUSEPORT).
"""

import contextlib
from collections.abc import Iterator

from aiperf.mock.processes import bind
from aiperf.wire.address import LOOPBACK


@contextlib.contextmanager
def reserved_urls(count: int, host: str = LOOPBACK) -> Iterator[list[str]]:
    """URLs on loopback (`host`), for as long as the context lasts. Raises: InfrastructureError if there is no free
    port."""
    with contextlib.ExitStack() as stack:
        urls = []
        for _ in range(count):
            (keeper,) = bind((host,), 0, shared=True)
            stack.callback(keeper.close)
            written = f"[{host}]" if ":" in host else host
            urls.append(f"http://{written}:{keeper.getsockname()[1]}")
        yield urls
