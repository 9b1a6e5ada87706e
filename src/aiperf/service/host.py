"""A host: one process that runs any set of services of a layout until it is told to leave.

Owns: event loop, wire and logging of the process; what each service needs, put together. Does not own: starting
processes (`aiperf.deploy`), the services' work.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvloop

from aiperf.api.health import HealthListener
from aiperf.clock import RunClock
from aiperf.errors import AIPerfError, ExitCode, InfrastructureError
from aiperf.plan.plan import Plan
from aiperf.service.cadence import cadence_of
from aiperf.service.clock_alignment import ClockKeeper, align_clock
from aiperf.service.layout import LOG_NAME, Host, Layout, ServiceType
from aiperf.service.log_relay import LogBuffer, relay_lines, sender_name
from aiperf.service.machine import connections_max, this_machine
from aiperf.service.short_slice import ask_for_short_slices
from aiperf.service.supply import SameDisk, Supply
from aiperf.service.wiring import Surroundings, run_service
from aiperf.wire.bus import Seat
from aiperf.wire.curve import WireKeys
from aiperf.wire.zmq_wire import ZmqWire

log = logging.getLogger(__name__)

TERMINATED = 128 + signal.SIGTERM
"""Exit code of a host that was told to leave by a signal before its time: as shells tell it."""

FAREWELL_LIMIT_S = 3.0
"""A host that is told to leave lets its services say so, and hand over what they have, for so long at the most."""
REPORT_LIMIT_S = 15.0
"""The host of the controller has so long, for the results of what there is; it stays so long for who fetches them. Less
than what a cluster gives to a pod (`kubernetes.pods.TERMINATION_GRACE_S`)."""
LAST_WORDS_S = 0.5
"""What a service said last may have to pass through a guest of this host to the user."""

ORPHAN_LIMIT_S = 5
"""A host whose starter is gone has nobody who would end it by force; the kernel does, after so long."""


Guest = Callable[[Surroundings, asyncio.Event], Coroutine[Any, Any, None]]
"""What lives in a host beside its services. It hears when they have left, and may stay longer."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a deployment gives to its hosts, beside plan and layout."""

    supply: Supply = field(default_factory=SameDisk)
    guests: Sequence[Guest] = ()
    wire_keys: WireKeys | None = None
    """For addresses that others can reach."""


async def live(around: Surroundings, guests: Sequence[Guest]) -> None:
    """The whole life of a host: its services and its guests, until all have left.

    Its clock is put on the run's scale first: they may read it at once.
    Raises: ExceptionGroup of what failed; the others are cancelled then.
    """
    async with _probes(around.host), asyncio.TaskGroup() as group:
        assert isinstance(around.clock, RunClock)
        keeper = await align_clock(around.wire, around.layout, around.host, around.clock)
        if keeper is not None:
            await _live_aligned(replace(around, observe=keeper.observations), guests, keeper, group)
        if around.told_to_leave.is_set():
            raise asyncio.CancelledError
        if around.host.outstays:
            await asyncio.Event().wait()


async def _live_aligned(
    around: Surroundings, guests: Sequence[Guest], keeper: ClockKeeper, group: asyncio.TaskGroup
) -> None:
    watching: asyncio.Task[None] | None = None
    if any(service.service_type is ServiceType.WORKER for service in around.host.services):
        watching = group.create_task(keeper.watch())  # only workers tell of it
    staying = [group.create_task(guest(around, around.services_left)) for guest in guests]
    await host_services(around)
    if watching is not None:
        watching.cancel()
    around.services_left.set()
    if not staying:
        return
    doing = [group.create_task(work()) for work in around.afterwards]
    limit_s = LAST_WORDS_S if around.told_to_leave.is_set() and not around.host.controls else None
    await asyncio.wait(staying, timeout=limit_s)
    for task in doing:
        task.cancel()


@contextlib.asynccontextmanager
async def _probes(host: Host) -> AsyncIterator[None]:
    """Answers health probes meanwhile, if anybody asks. That it answers at all is what they want to know."""
    if not host.health_port:
        yield
        return
    listener = HealthListener("", host.health_port)
    await listener.start()
    try:
        yield
    finally:
        listener.close()


async def host_services(around: Surroundings) -> None:
    """Runs the host's services until every one has returned, or one has failed.

    Raises: ExceptionGroup of what made services fail; the others of the host are cancelled then.
    """
    async with asyncio.TaskGroup() as group:
        for service in around.host.services:
            group.create_task(run_service(service, around), name=service.service_id)


def run_host(
    host_id: str,
    layout: Layout,
    plan: Plan,
    parent_pipe: int = -1,
    equipment: Equipment | None = None,
    incarnation: int = 0,
) -> int:
    """Runs a host as the whole of this process; returns its exit code.

    `parent_pipe` is the reading end of a pipe that the starter holds open: when it closes, the starter is gone, and so
    is the reason to live. Nobody else can then remove what lies around, so every host of the run does.
    `incarnation`: how often the host was started before; its services are then new ones with names of their own.
    """
    host, equipment = layout.host(host_id).incarnation(incarnation), equipment or Equipment()
    code: int = ExitCode.DONE
    orphaned = False
    # Ctrl-C is the operator's to hear: it decides, and tells the controller.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    if any(service.service_type is ServiceType.WORKER for service in host.services):
        ask_for_short_slices()

    async def main() -> None:
        nonlocal code
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        wire = ZmqWire(equipment.wire_keys)
        clock = RunClock(layout.anchor_ns or None)
        around = Surroundings(host, layout, plan, wire, clock, connections_max(this_machine()), supply=equipment.supply)

        def leave(farewell: bool = True) -> None:
            nonlocal code
            code = TERMINATED
            if not farewell or around.told_to_leave.is_set() or around.services_left.is_set():
                task.cancel()
            else:
                log.info("told to leave by SIGTERM")
                around.told_to_leave.set()
                loop.call_later(REPORT_LIMIT_S if host.controls else FAREWELL_LIMIT_S, task.cancel)

        def leave_as_orphan() -> None:
            nonlocal orphaned
            orphaned = True
            signal.alarm(ORPHAN_LIMIT_S)
            loop.remove_reader(parent_pipe)
            remove_run_dirs(layout)
            leave(farewell=False)

        loop.add_signal_handler(signal.SIGTERM, leave)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the starter may have blocked some while it forked
        if parent_pipe >= 0:
            loop.add_reader(parent_pipe, leave_as_orphan)
        try:
            log.info("runs %s", ", ".join(service.service_id for service in host.services))
            await live(around, equipment.guests)
            if around.dismissed.is_set():
                code = ExitCode.DISMISSED
            elif around.refused.is_set():
                code = ExitCode.NOT_VALID
        except asyncio.CancelledError:
            log.info("told to leave by a signal, or the starter is gone")
        finally:
            if parent_pipe >= 0:
                loop.remove_reader(parent_pipe)
            wire.close()

    try:
        uvloop.run(main())
    except* AIPerfError as group:
        for error in failures_in(group):
            log.error("%s", error)
        code = ExitCode.INFRASTRUCTURE
    except* Exception:  # noqa: BLE001 (the outer edge of a process: a bug is written down, then ends it)
        log.critical("%s", traceback.format_exc())
        code = ExitCode.BUG
    if orphaned:
        remove_run_dirs(layout)  # again: others may still have written meanwhile
    return code


def failures_in(group: BaseExceptionGroup[AIPerfError]) -> Iterator[AIPerfError]:
    """What failed. A host's services are a group within the group of the host, and so are their failures."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from failures_in(error)
        else:
            yield error


def remove_run_dirs(layout: Layout) -> None:
    """Removes what only the running benchmark needs: sockets, the plan with its secrets, bulk data. Never fails."""
    shutil.rmtree(layout.work_dir, ignore_errors=True)
    shutil.rmtree(layout.data_dir, ignore_errors=True)


def start_logging(layout: Layout, level: str, host_id: str) -> LogBuffer | None:
    """Sends this process's log lines to the run's `logs/aiperf.log`.

    Hosts that share the artifact directory append whole lines to the one file, which keeps them apart. Others log to
    stderr, for whoever keeps that, and into the buffer that is returned, which somebody has to relay; but where the
    records manager is, the file is at hand. Raises: InfrastructureError if the file cannot be opened.
    """
    buffer: LogBuffer | None = None
    handlers: list[logging.Handler] = [] if layout.shares_disk else [logging.StreamHandler(sys.stderr)]
    if layout.shares_disk or layout.host_of(ServiceType.RECORDS_MANAGER).host_id == host_id:
        path = Path(layout.artifact_dir) / LOG_NAME
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(logging.FileHandler(path))
        except OSError as error:
            raise InfrastructureError(f"cannot write the results to {path.parent}: {error.strerror}") from error
    else:
        buffer = LogBuffer()
        handlers.append(buffer)
    formatter = logging.Formatter(
        f"%(asctime)s.%(msecs)03d %(levelname)-7s {host_id}[{os.getpid()}] %(name)s: %(message)s", "%H:%M:%S"
    )
    for handler in handlers:
        handler.setFormatter(formatter)
    names = {"trace": logging.DEBUG, "debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
    logging.basicConfig(level=names.get(level, logging.ERROR), handlers=handlers, force=True)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a line that cannot be written (a full disk) is no business of the terminal's
    return buffer


def log_guest(buffer: LogBuffer) -> Guest:
    """The guest of a host that sends its log lines home."""

    def relay(around: Surroundings, services_left: asyncio.Event) -> Coroutine[Any, Any, None]:
        name = sender_name(around.host.host_id)
        seat = Seat(around.connect("control", name), name)
        interval_s = cadence_of(around.layout).log_interval_s
        return relay_lines(buffer, seat, around.host.host_id, services_left, interval_s)

    return relay
