"""Being a member of a run: registering, being heard of, leaving.

Owns: what every service does besides its own work. Does not own: judging silence (`heartbeats`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiperf.clock import Clock
from aiperf.service.layout import ServiceType
from aiperf.service.machine import whereabouts
from aiperf.wire.bus import CONTROLLER, Seat
from aiperf.wire.messages import Heartbeat, Registered, ServiceLost

TOLD_TO_LEAVE = "its process was told to end by SIGTERM"
"""In a cluster: it was evicted, its node is drained, or somebody deleted its pod."""


class DismissedError(Exception):
    """The controller has told this service to leave before its time, or it saw itself that it must; the text is why.

    Its process ends with a code that makes whoever watches it start another one.
    """


def register(seat: Seat) -> None:
    """Tells the controller that the service is there, and where that is."""
    seat.send(Registered(seat.name, *whereabouts()))


def say_farewell(seat: Seat) -> None:
    """Tells the controller that the service leaves before its time."""
    seat.send(ServiceLost(seat.name, TOLD_TO_LEAVE))


async def run_until_told_to_leave(
    running: Coroutine[Any, Any, None], leave: Callable[[], Awaitable[None]], told_to_leave: asyncio.Event
) -> None:
    """Runs a service until it returns, or until its host is told to leave and `leave` has done what can be done.

    Raises: whatever made it fail.
    """
    service = asyncio.create_task(running)
    told = asyncio.create_task(told_to_leave.wait())
    try:
        await asyncio.wait({service, told}, return_when=asyncio.FIRST_COMPLETED)
        if not service.done():
            await leave()
        if service.done():
            service.result()
    finally:
        told.cancel()
        service.cancel()
        await asyncio.wait({service})


async def keep_in_touch(seat: Seat, clock: Clock, health: Callable[[], dict[str, float]], interval_s: float) -> None:
    """Sends a heartbeat every interval until cancelled: to the worker manager, whose own goes to the controller."""
    watcher = CONTROLLER if seat.name == ServiceType.WORKER_MANAGER else ServiceType.WORKER_MANAGER
    while True:
        seat.send(Heartbeat(seat.name, clock.now_ns(), health()), to=watcher)
        await asyncio.sleep(interval_s)
