"""Workers and record processors that cost next to nothing: for the controller they are real ones.

Owns: thousands of members in one process, each with the sockets, messages and rhythm of the real service. Does not own:
the endpoint (a request is an end instant in a queue), what is measured (`controller_cost`).

A worker registers, joins, beats, keeps its hand in a real `Dispatcher` and returns credits as `aiperf.service.worker`
does: every interval, when half of its hand is gone, and when it starves. A record processor sends one partial result an
interval, made by the real code once per number of records and then sent again with its own name and worker index.
"""

import mmap
import os
import signal
import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from functools import cache

import msgspec
import numpy as np
import zmq
from partial_cost import GAPS_PER_RECORD, batch

from aiperf.clock import RunClock
from aiperf.endpoint.counters import ClientCounters
from aiperf.metrics.partial import Partial
from aiperf.schedule.dispatcher import Dispatcher
from aiperf.service.cadence import Cadence
from aiperf.service.clock_alignment import WATCH_PROBES as CLOCK_PROBES
from aiperf.service.column_messages import ColumnHeader
from aiperf.service.layout import Layout, ServiceType
from aiperf.units import NS_PER_S, ns_from_s
from aiperf.wire.bus import CONTROLLER
from aiperf.wire.curve import WireKeys, secure
from aiperf.wire.messages import (
    ClockProbe,
    Configure,
    CreditBatch,
    CreditOrder,
    CreditReturns,
    CutPhase,
    EndCredits,
    Exit,
    Heartbeat,
    PreparePhase,
    Registered,
    ServiceReady,
    SetSlots,
    WorkerJoined,
    WorkerWelcomed,
    decode,
    encode,
)
from aiperf.wire.zmq_wire import _prepare_for_tcp

LOOKS_PER_RETURN = 4
"""How often a simulated worker looks at its clock and its credits; a real one does at once."""
FIRST_GROUPS = 50
TURN_S = 0.005
READY_LOOK_NS = 500_000_000
SOCKETS_MAX = 30_000

COUNTERS = (
    "sent",
    "received",
    "returns",
    "batches",
    "columns",
    "beats",
    "probes",
    "requests",
    "refused",
    "late_ms",
    "starting",
)
"""What a fleet tells of itself, as int64 in shared memory. `late_ms`: the most its rhythm was behind."""


@dataclass(frozen=True, slots=True)
class Load:
    """What each worker's endpoint does."""

    latency_ns: int
    closed_loop: bool


class Counters:
    """Shared by the fleet, which writes, and who measures, who reads."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 * len(COUNTERS))
        self.values = np.frombuffer(self._memory, np.int64)

    def look(self) -> dict[str, int]:
        return dict(zip(COUNTERS, self.values.tolist(), strict=True))


class Cycle:
    """Visits `count` members once an interval, evenly spread over it."""

    def __init__(self, count: int, interval_s: float, start_ns: int) -> None:
        self._count = count
        self._interval_ns = ns_from_s(interval_s)
        self._start_ns = start_ns
        self._done = 0

    def due(self, now_ns: int, at_most: int = 500) -> list[int]:
        """Who is to be visited now."""
        if self.late_ns(now_ns) > self._interval_ns:
            self._start_ns += self.late_ns(now_ns)  # what was missed is not made up for
        until = min((now_ns - self._start_ns) * self._count // self._interval_ns, self._done + at_most)
        visits = [number % self._count for number in range(self._done, until)]
        self._done = max(self._done, until)
        return visits

    def late_ns(self, now_ns: int) -> int:
        return now_ns - self._start_ns - self._done * self._interval_ns // self._count


@dataclass(slots=True)
class SimulatedWorker:
    name: str
    control: "zmq.Socket[bytes]"
    clock: "zmq.Socket[bytes]"
    credits: "zmq.Socket[bytes]"
    dispatcher: Dispatcher = field(default_factory=Dispatcher)
    ends_ns: deque[tuple[int, int]] = field(default_factory=deque)
    """When how many requests end."""
    phase: int = -1
    sequence: int = 0
    orders_taken: int = 0
    low_water: int = -1
    next_return_ns: int = 1 << 62
    begun: bool = False
    unreported: int = 0
    """Requests that ended and of which the record processor has told nobody yet."""


@dataclass(slots=True)
class SimulatedProcessor:
    name: str
    control: "zmq.Socket[bytes]"
    clock: "zmq.Socket[bytes]"
    columns: "zmq.Socket[bytes]"
    sequence: int = 0


class Fleet:
    """Workers `first` … and their record processors, one each."""

    def __init__(
        self,
        layout: Layout,
        members: range,
        cadence: Cadence,
        load: Load,
        counters: Counters,
        keys: WireKeys | None,
    ) -> None:
        self._layout = layout
        self._first = members.start
        self._cadence = cadence
        self._look_ns = ns_from_s(cadence.return_interval_s / LOOKS_PER_RETURN)
        self._load = load
        self._context = zmq.Context(io_threads=1)
        self._context.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
        self._clock = RunClock(layout.anchor_ns)
        workers = layout.services(ServiceType.WORKER)[members.start : members.stop]
        processors = layout.services(ServiceType.RECORD_PROCESSOR)[members.start : members.stop]
        self._tally = dict.fromkeys(COUNTERS, 0)
        self._shared = counters
        self._keys = keys
        self._health = ClientCounters(kernel_stamped_read_count=123_456_789).observations() | {"cpu_s": 12.345}
        self._workers = [
            SimulatedWorker(
                name, self._dialogue("control", name), self._clock_seat(name), self._dialogue("credits", name)
            )
            for name in (seat.service_id for seat in workers)
        ]
        self._processors = [
            SimulatedProcessor(
                name, self._dialogue("control", name), self._clock_seat(name), self._socket(zmq.PUSH, "columns", name)
            )
            for name in (seat.service_id for seat in processors)
        ]
        self._members = [*self._workers, *self._processors]

    def _clock_seat(self, host_id: str) -> "zmq.Socket[bytes]":
        """A host's own seat for measuring its clock (`aiperf.service.clock_alignment`)."""
        return self._dialogue("control", f"clock/{host_id}")

    def _dialogue(self, channel: str, name: str) -> "zmq.Socket[bytes]":
        return self._socket(zmq.DEALER, channel, name)

    def _socket(self, kind: int, channel: str, name: str) -> "zmq.Socket[bytes]":
        """With the options of `aiperf.wire.zmq_wire`, which makes ports for an event loop; here nobody waits."""
        socket = self._context.socket(kind)
        bound = self._cadence.column_queue if kind == zmq.PUSH else 0
        socket.setsockopt(zmq.SNDHWM, bound)
        socket.setsockopt(zmq.RCVHWM, bound)
        socket.setsockopt(zmq.RECONNECT_IVL, 10)
        _prepare_for_tcp(socket, kind)
        if self._keys is not None:
            secure(socket, self._keys, binds=False)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IDENTITY, name.encode())
        socket.connect(self._layout.addresses[channel][-1])
        return socket

    def run(self) -> None:
        """Until the process is ended, or the controller says so."""
        now_ns = self._clock.now_ns()
        for member in self._members:
            self._say(member.control, CONTROLLER, encode(Registered(member.name)))
        cadence, ready = self._cadence, set[str]()
        beats = Cycle(len(self._members), cadence.heartbeat_interval_s, now_ns)
        looks = Cycle(len(self._workers), self._look_ns / NS_PER_S, now_ns)
        columns = Cycle(len(self._processors), cadence.column_interval_s, now_ns)
        probes = Cycle(CLOCK_PROBES * len(self._workers), cadence.clock_watch_interval_s, now_ns)
        cycles = (beats, looks, columns, probes)
        next_look_ns = now_ns
        while True:
            now_ns = self._clock.now_ns()
            for number in beats.due(now_ns):
                self._beat(self._members[number], now_ns)
            if len(ready) < len(self._members) and now_ns >= next_look_ns:
                self._get_ready(ready)
                next_look_ns = self._clock.now_ns() + READY_LOOK_NS
            for number in probes.due(now_ns):
                self._probe_clock(self._workers[number // CLOCK_PROBES], now_ns)
            for number in looks.due(now_ns) if len(ready) == len(self._members) else ():
                self._look(self._workers[number], self._clock.now_ns())
            for number in columns.due(now_ns):
                self._send_columns(self._processors[number], self._workers[number], self._first + number)
            self._tally["starting"] = len(self._members) - len(ready)
            now_ns = self._clock.now_ns()
            self._tally["late_ms"] = max(cycle.late_ns(now_ns) for cycle in cycles) // 1_000_000
            self._shared.values[:] = list(self._tally.values())
            if self._tally["late_ms"] < 2 * TURN_S * 1e3:
                time.sleep(TURN_S)

    # The control bus

    def _say(self, socket: "zmq.Socket[bytes]", to: str, payload: bytes) -> None:
        socket.send_multipart([to.encode(), payload], zmq.NOBLOCK)
        self._tally["sent"] += 1

    def _beat(self, member: SimulatedWorker | SimulatedProcessor, now_ns: int) -> None:
        health = self._health if isinstance(member, SimulatedWorker) else {}
        self._say(member.control, ServiceType.WORKER_MANAGER, encode(Heartbeat(member.name, now_ns, health)))
        self._tally["beats"] += 1
        if not self._tally["starting"]:
            for _, payload in self._received(member.control):
                if isinstance(decode(payload), Exit):
                    os._exit(0)

    def _probe_clock(self, member: SimulatedWorker, now_ns: int) -> None:
        self._received(member.clock)
        self._say(member.clock, CONTROLLER, encode(ClockProbe(now_ns)))
        self._tally["probes"] += 1

    def _get_ready(self, ready: set[str]) -> None:
        for member in self._members:
            if member.name in ready:
                continue
            is_ready = False
            for _, payload in self._received(member.control):
                if isinstance(decode(payload), Configure):
                    if isinstance(member, SimulatedWorker):
                        member.credits.send_multipart([encode(WorkerJoined(19_900))], zmq.NOBLOCK)
                    else:
                        is_ready = True
            if isinstance(member, SimulatedWorker):
                is_ready = any(isinstance(decode(got), WorkerWelcomed) for (got,) in self._received(member.credits))
            if is_ready:
                self._say(member.control, CONTROLLER, encode(ServiceReady(member.name)))
                ready.add(member.name)

    def _received(self, socket: "zmq.Socket[bytes]") -> list[list[bytes]]:
        messages = []
        try:
            while True:
                messages.append(socket.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            self._tally["received"] += len(messages)
            return messages

    # Credits

    def _look(self, worker: SimulatedWorker, now_ns: int) -> None:
        """Takes credits, ends and begins requests, returns credits when it is time."""
        dispatcher, load, ends_ns = worker.dispatcher, self._load, worker.ends_ns
        answer = False
        for (payload,) in self._received(worker.credits):
            message = decode(payload)
            worker.orders_taken += isinstance(message, CreditOrder)
            match message:
                case PreparePhase():
                    worker.phase = message.phase
                    dispatcher.prepare(message.slots, message.start_ns, message.stop_ns)
                    answer = True
                case CreditBatch():
                    self._tally["batches"] += 1
                    dispatcher.add(message.indices, message.due_ns)
                    worker.low_water = dispatcher.queued // 2 if not message.due_ns else -1
                case SetSlots():
                    dispatcher.set_slots(message.slots)
                    answer = True
                case EndCredits() | CutPhase():
                    dispatcher.end_credits()
                    answer = True
        while ends_ns and ends_ns[0][0] <= now_ns:
            _, count = ends_ns.popleft()
            worker.unreported += count
            for _ in range(count):
                dispatcher.finished(0)
        begun = 0
        while dispatcher.next(now_ns) >= 0:
            begun += 1
        if begun:
            self._tally["requests"] += begun
            # The first requests of slots end one after another, as those of a load that has been running for long.
            groups = min(begun, FIRST_GROUPS) if load.closed_loop and not worker.begun else 1
            worker.begun = True
            for group in range(1, groups + 1):
                count = begun * group // groups - begun * (group - 1) // groups
                ends_ns.append((now_ns + load.latency_ns * group // groups, count))
        wanting = dispatcher.queued <= worker.low_water or (load.closed_loop and dispatcher.starved)
        if worker.phase >= 0 and (answer or wanting or now_ns >= worker.next_return_ns - self._look_ns // 2):
            self._return(worker, now_ns)

    def _return(self, worker: SimulatedWorker, now_ns: int) -> None:
        worker.low_water = -1
        counts = worker.dispatcher.take_returns(now_ns)
        message = CreditReturns(
            phase=worker.phase, sequence=worker.sequence, orders_taken=worker.orders_taken,
            completed=counts.completed, failed=0, cancelled=0, censored=0, unused=counts.unused,
            queued=counts.queued, overdue=counts.overdue, in_flight=counts.in_flight,
            idle_slots=counts.idle_slots, drained=counts.drained,
        )  # fmt: skip
        worker.sequence += 1
        worker.credits.send_multipart([encode(message)], zmq.NOBLOCK)
        worker.next_return_ns = now_ns + ns_from_s(self._cadence.return_interval_s)
        self._tally["sent"] += 1
        self._tally["returns"] += 1

    # Record columns

    def _send_columns(self, processor: SimulatedProcessor, worker: SimulatedWorker, worker_index: int) -> None:
        count = worker.unreported
        if not count:
            return
        head, *tables = _template(count)
        header = msgspec.msgpack.encode(ColumnHeader(processor.name, processor.sequence, 1, count))
        try:
            processor.columns.send_multipart([header, _as_worker(head, worker_index), *tables], zmq.NOBLOCK)
        except zmq.Again:
            self._tally["refused"] += 1
            return
        processor.sequence += 1
        worker.unreported = 0
        self._tally["sent"] += 1
        self._tally["columns"] += 1


@cache
def _template(count: int) -> list[bytes]:
    """Frames of a partial result of `count` requests of 100 chunks, all of one worker."""
    facts = batch(count)
    facts["worker_index"] = 0
    gaps_ns = np.random.default_rng(count).lognormal(np.log(20e6), 0.2, count * GAPS_PER_RECORD).astype(np.int64)
    return Partial.of(facts, gaps_ns, np.full(count, GAPS_PER_RECORD)).to_frames()


def _as_worker(head: bytes, worker_index: int) -> bytes:
    header = msgspec.msgpack.decode(head)
    (tally,) = header[2]
    tally[0] = worker_index
    return msgspec.msgpack.encode(header)


def start_fleet(
    layout: Layout, members: range, cadence: Cadence, load: Load, counters: Counters, keys: WireKeys | None
) -> int:
    """A process with these members; its pid."""
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        Fleet(layout, members, cadence, load, counters, keys).run()
    except BaseException:  # noqa: BLE001 (a child that was forked must not go on as its parent)
        traceback.print_exc()
    finally:
        os._exit(1)
