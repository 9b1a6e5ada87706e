"""The line between the operator and the system controller of a run.

Owns: the protocol, and the line over the control bus for a run on this machine. Does not own: what is said.
"""

import asyncio
from typing import Protocol

from aiperf.errors import BenchmarkError, InfrastructureError
from aiperf.service.layout import Layout
from aiperf.wire.bus import OPERATOR, Seat
from aiperf.wire.messages import AnyMessage, HostLost, OperatorJoined, RunFinished, StopRun
from aiperf.wire.ports import Pattern
from aiperf.wire.zmq_wire import ZmqWire

SILENCE_LIMIT_S = 20
"""The controller reports several times a second; after so long without a word it hangs."""

INTERRUPTED = "interrupted by the user"


class ResultsStayError(InfrastructureError):
    """This machine will not have the results (a full disk, mostly). They are whole where they were made."""


class Line(Protocol):
    async def open(self) -> None:
        """Returns when messages can pass. Raises: AIPerfError if they never will."""
        ...

    async def receive(self) -> AnyMessage:
        """The next thing told to operators. Raises: BenchmarkError if the controller is lost."""
        ...

    def stop(self, *, now: bool) -> bool:
        """Orders the end of the load. `now`: what is in flight is cut. False if there is no line yet."""
        ...

    def tell_loss(self, host_id: str, reason: str) -> None:
        """Says that a host is no more, where the controller cannot see that itself."""
        ...

    async def bring_home(self, finished: RunFinished) -> RunFinished:
        """How the run ended, with its results on this machine. Raises: AIPerfError if they cannot be had;
        ResultsStayError if they only cannot be written here."""
        ...

    async def close(self) -> None: ...


class BusLine:
    """A seat on the control bus. To be used within one event loop."""

    def __init__(self, layout: Layout) -> None:
        self._address = layout.addresses["control"][-1]
        self._seat: Seat | None = None

    async def open(self) -> None:
        self._wire = ZmqWire()
        self._seat = Seat(self._wire.connect(Pattern.DIALOGUE, self._address, OPERATOR), OPERATOR)
        self._seat.send(OperatorJoined())

    async def receive(self) -> AnyMessage:
        assert self._seat is not None
        for _ in range(SILENCE_LIMIT_S):
            # In steps: a pause of this process (Ctrl-Z, a suspended laptop) is one, however long.
            try:
                _, message = await asyncio.wait_for(self._seat.receive(), 1)
            except TimeoutError:
                continue
            return message
        raise BenchmarkError(f"the controller has been silent for {SILENCE_LIMIT_S} s")

    def stop(self, *, now: bool) -> bool:
        return self._seat is not None and self._seat.send(StopRun(now=now, reason=INTERRUPTED))

    def tell_loss(self, host_id: str, reason: str) -> None:
        if self._seat is not None:
            self._seat.send(HostLost(host_id, reason))

    async def bring_home(self, finished: RunFinished) -> RunFinished:
        return finished

    async def close(self) -> None:
        if self._seat is not None:
            self._wire.close()
