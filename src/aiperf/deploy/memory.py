"""A whole run inside this process and its event loop: for tests, in real or virtual time.

Owns: hosting every service of a memory layout and playing the operator. Does not own: what the services do; they are
the same as everywhere.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

from aiperf.clock import Clock
from aiperf.plan.plan import Plan
from aiperf.schedule.calibration import CalibrationShape
from aiperf.service.host import host_services
from aiperf.service.layout import Host, Layout
from aiperf.service.wiring import MakeClient, MakeTimer, Surroundings
from aiperf.wire.bus import OPERATOR, Seat
from aiperf.wire.memory_wire import MemoryWire
from aiperf.wire.messages import AnyMessage, RunFinished
from aiperf.wire.ports import Pattern


class NoServer:
    """Stands for a calibration server where requests go to a client double, and no socket is open."""

    def __init__(self, _url: str, _shape: CalibrationShape) -> None:
        self._over = asyncio.Event()

    async def serve(self) -> None:
        await self._over.wait()

    def stop(self) -> None:
        self._over.set()


class MemoryHosts:
    """The hosts of a run, each as a task. A test can start one late or once more, tell it to leave, or kill it."""

    def __init__(self, layout: Layout, surroundings_of: Callable[[Host], Surroundings]) -> None:
        self._layout = layout
        self._surroundings_of = surroundings_of
        self._hosts: dict[str, tuple[Surroundings, asyncio.Task[None]]] = {}
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Its result is the first failure of a host; or it has none, and every host has left."""

    def start(self, host_id: str, incarnation: int = 0) -> None:
        around = self._surroundings_of(self._layout.host(host_id).incarnation(incarnation))
        task = asyncio.create_task(host_services(around))
        self._hosts[host_id] = around, task
        task.add_done_callback(self._note_end)

    def tell_to_leave(self, host_id: str) -> None:
        """As SIGTERM does."""
        self._hosts[host_id][0].told_to_leave.set()

    def kill(self, host_id: str) -> None:
        self._hosts[host_id][1].cancel()

    async def ended(self, host_id: str) -> None:
        """Waits until the host's services have returned."""
        await asyncio.wait({self._hosts[host_id][1]})

    def is_dismissed(self, host_id: str) -> bool:
        """Whether its process would end with the code of a lost one."""
        return self._hosts[host_id][0].dismissed.is_set()

    async def left(self) -> None:
        """Waits until every host has left, which is now as it should be. Raises: what made one fail."""
        self.failure.cancel()
        await asyncio.gather(*(task for _, task in self._hosts.values() if not task.cancelled()))

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if self.failure.done():
            return
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failure.set_exception(error)
        elif all(other.done() for _, other in self._hosts.values()):
            self.failure.set_exception(RuntimeError("every service has left, and nobody said how the run ended"))

    def close(self) -> None:
        self.failure.cancel()
        for _, task in self._hosts.values():
            task.cancel()


async def run_in_memory(
    layout: Layout,
    plan: Plan,
    clock: Clock,
    *,
    make_client: MakeClient,
    make_timer: MakeTimer,
    connections_max: int = 10_000,
    on_message: Callable[[AnyMessage, Seat], None] | None = None,
    absent: Collection[str] = (),
    happenings: Callable[[MemoryHosts], Coroutine[Any, Any, None]] | None = None,
) -> RunFinished:
    """Runs the plan; returns how it ended. `on_message` sees what the operator sees, and may answer from its seat.

    Hosts that are `absent` are not started; `happenings` goes on beside the run and may do that.
    """
    Path(layout.data_dir).mkdir(parents=True)
    wire = MemoryWire()
    seat = Seat(wire.connect(Pattern.DIALOGUE, "control", OPERATOR), OPERATOR)

    def surroundings_of(host: Host) -> Surroundings:
        return Surroundings(
            host,
            layout,
            plan,
            wire,
            clock,
            connections_max,
            make_client,
            make_timer,
            make_calibration_server=NoServer,
            in_thread=_in_this_thread,
        )

    hosts = MemoryHosts(layout, surroundings_of)
    for host in layout.hosts:
        if host.host_id not in absent:
            hosts.start(host.host_id)
    happening = asyncio.create_task(happenings(hosts)) if happenings is not None else None
    finished: RunFinished | None = None
    try:
        while finished is None:
            listening = asyncio.create_task(seat.receive())
            ends: set[asyncio.Future[Any]] = {listening, hosts.failure}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                listening.cancel()
                hosts.failure.result()  # A service failed: its error is the test's.
            _, message = listening.result()
            if on_message is not None:
                on_message(message, seat)
            if isinstance(message, RunFinished):
                finished = message
        await hosts.left()
    finally:
        if happening is not None:
            happening.cancel()
        hosts.close()
        wire.close()
    return finished


async def _in_this_thread(call: Callable[..., Any], *arguments: Any) -> Any:
    """Virtual time knows nothing of other threads."""
    return call(*arguments)
