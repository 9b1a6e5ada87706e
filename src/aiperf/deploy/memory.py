"""A whole run inside this process and its event loop: for tests, in real or virtual time.

Owns: hosting every service of a memory layout and playing the operator. Does not own: what the services do; they are
the same as everywhere.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiperf.clock import Clock
from aiperf.plan.plan import Plan
from aiperf.service.host import host_services
from aiperf.service.layout import Layout
from aiperf.service.wiring import MakeClient, MakeTimer, Surroundings
from aiperf.wire.bus import OPERATOR, Seat
from aiperf.wire.memory_wire import MemoryWire
from aiperf.wire.messages import AnyMessage, RunFinished
from aiperf.wire.ports import Pattern


async def run_in_memory(
    layout: Layout,
    plan: Plan,
    clock: Clock,
    *,
    make_client: MakeClient,
    make_timer: MakeTimer,
    connections_max: int = 10_000,
    on_message: Callable[[AnyMessage, Seat], None] | None = None,
) -> RunFinished:
    """Runs the plan; returns how it ended. `on_message` sees what the operator sees, and may answer from its seat."""
    Path(layout.data_dir).mkdir(parents=True)
    wire = MemoryWire()
    (host,) = layout.hosts
    seat = Seat(wire.connect(Pattern.DIALOGUE, "control", OPERATOR), OPERATOR)
    around = Surroundings(
        host, layout, plan, wire, clock, connections_max, make_client, make_timer, in_thread=_in_this_thread
    )
    hosting = asyncio.create_task(host_services(around))
    finished: RunFinished | None = None
    try:
        while finished is None:
            listening = asyncio.create_task(seat.receive())
            await asyncio.wait({listening, hosting}, return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                listening.cancel()
                hosting.result()  # A service failed: its error is the test's.
                raise RuntimeError("every service has left, and nobody said how the run ended")
            _, message = listening.result()
            if on_message is not None:
                on_message(message, seat)
            if isinstance(message, RunFinished):
                finished = message
        await hosting
    finally:
        hosting.cancel()
        wire.close()
    return finished


async def _in_this_thread(call: Callable[..., Any], *arguments: Any) -> Any:
    """Virtual time knows nothing of other threads."""
    return call(*arguments)
