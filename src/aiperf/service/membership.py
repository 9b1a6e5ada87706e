"""Being a member of a run: registering, being heard of, leaving.

Owns: what every service does besides its own work. Does not own: judging silence (`heartbeats`).
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from aiperf.clock import Clock
from aiperf.service.layout import ServiceType
from aiperf.units import NS_PER_S
from aiperf.wire.bus import CONTROLLER, Seat
from aiperf.wire.messages import HEARTBEAT_INTERVAL_NS, Heartbeat, Registered


def register(seat: Seat) -> None:
    """Tells the controller that the service is there."""
    seat.send(Registered(seat.name))


async def run_together(*works: Coroutine[Any, Any, None]) -> None:
    """Runs parts of a service side by side until the first returns, or fails; then cancels the others.

    Raises: whatever made the first one fail.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def keep_in_touch(seat: Seat, clock: Clock, health: Callable[[], dict[str, float]] = dict) -> None:
    """Sends a heartbeat every interval until cancelled: to the worker manager, whose own goes to the controller."""
    watcher = CONTROLLER if seat.name == ServiceType.WORKER_MANAGER else ServiceType.WORKER_MANAGER
    while True:
        seat.send(Heartbeat(seat.name, clock.now_ns(), health()), to=watcher)
        await asyncio.sleep(HEARTBEAT_INTERVAL_NS / NS_PER_S)
