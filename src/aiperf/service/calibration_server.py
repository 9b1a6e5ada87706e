"""The calibration server: the built-in server of known latency, as a service of the run.

Owns: when it begins and ceases to serve, and what it serves for a calibration. Does not own: serving (`aiperf.mock`),
its address (the layout), what workers do with it.

It serves in a thread of a host of its own, whose event loop has nothing else to do.
"""

import asyncio
import contextlib
import socket
from typing import Protocol
from urllib.parse import urlsplit

from aiperf.errors import InfrastructureError
from aiperf.mock.behaviour import Behaviour
from aiperf.mock.processes import bind
from aiperf.mock.server import Server
from aiperf.schedule.calibration import TOKENS_DEFAULT, CalibrationShape
from aiperf.wire.address import LOOPBACK, LOOPBACK_V6
from aiperf.wire.bus import Seat
from aiperf.wire.messages import Exit

ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 (in a pod, where only the run's own pods get in)


class Serving(Protocol):
    """Something that takes requests from the moment it is made."""

    async def serve(self) -> None:
        """Until `stop` is called."""
        ...

    def stop(self) -> None: ...


def behaviour_of(shape: CalibrationShape) -> Behaviour:
    """What the built-in server does for this calibration."""
    return Behaviour(
        default_tokens=min(TOKENS_DEFAULT, shape.tokens_max),
        tokens_max=shape.tokens_max,
        ttft_ns=shape.ttft_ns,
        itl_ns=shape.itl_ns,
        gives_account=True,
    )


class ServerThread:
    """The built-in server beside this process's event loop.

    Raises: InfrastructureError if it cannot listen there.
    """

    def __init__(self, url: str, shape: CalibrationShape) -> None:
        self._server = Server(_listeners(url), behaviour_of(shape))

    async def serve(self) -> None:
        await asyncio.to_thread(self._server.serve)

    def stop(self) -> None:
        self._server.stop()


def _listeners(url: str) -> list[socket.socket]:
    parts = urlsplit(url)
    assert parts.port is not None
    if parts.hostname in (LOOPBACK, LOOPBACK_V6):
        return bind((parts.hostname,), parts.port, shared=True)
    found: list[socket.socket] = []
    for host in ANYWHERE:
        with contextlib.suppress(InfrastructureError):  # a pod has an address of one family, or of both
            found += bind((host,), parts.port, shared=True)
    if not found:
        raise InfrastructureError(f"cannot listen on port {parts.port}")
    return found


class CalibrationServer:
    """`run()` returns when it is told to exit. Raises: InfrastructureError if the server ends before."""

    def __init__(self, seat: Seat, server: Serving) -> None:
        self._seat = seat
        self._server = server

    async def run(self) -> None:
        serving, waiting = asyncio.create_task(self._server.serve()), asyncio.create_task(self._until_exit())
        try:
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
                raise InfrastructureError("the built-in server ended before its time")
        finally:
            waiting.cancel()
            self._server.stop()
            await asyncio.wait({serving, waiting})

    async def _until_exit(self) -> None:
        while True:
            _, message = await self._seat.receive()
            if isinstance(message, Exit):
                return
