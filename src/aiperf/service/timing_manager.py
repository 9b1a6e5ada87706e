"""The timing manager: turns the schedule into credits, sends them ahead in batches, takes returns.

Owns: the loop around `aiperf.schedule.scheduler` and the binding side of the credit channel. Does not own: which
credit goes where and when (the scheduler), firing them (the workers).
"""

import asyncio
import contextlib
import dataclasses
import logging
from collections import Counter

import msgspec

from aiperf.clock import Clock
from aiperf.schedule import actions
from aiperf.schedule.ledger import CreditReturn
from aiperf.schedule.phases import Mode, PhasePlan
from aiperf.schedule.scheduler import Scheduler
from aiperf.schedule.shares import WorkerShare
from aiperf.service.order_book import OrderBook
from aiperf.service.together import run_together
from aiperf.units import NS_PER_S
from aiperf.wire.bus import Seat
from aiperf.wire.messages import (
    Configure,
    CreditBatch,
    CreditOrder,
    CreditReturns,
    CutPhase,
    EndCredits,
    Exit,
    LoadStatus,
    Message,
    PhaseFinished,
    PreparePhase,
    ServiceLost,
    ServiceReady,
    SetSlots,
    StartPhase,
    StopPhase,
    WorkerJoined,
    WorkerWelcomed,
    decode,
    encode,
)
from aiperf.wire.ports import Port

log = logging.getLogger(__name__)

STATUS_INTERVAL_S = 0.25
ORDERS_INTERVAL_S = 1.0
"""How often orders that were not confirmed are looked for."""

REFUSAL_GRACE_S = 2.0
"""From an order that could not be delivered to the worker's being lost, unless its loss was reported meanwhile."""


class TimingManager:
    """`run()` returns when it is told to exit."""

    def __init__(
        self,
        *,
        seat: Seat,
        credits: Port,
        clock: Clock,
        records_manager: str,
        workers_planned: int,
        return_interval_s: float,
        awaits_workers: bool,
    ) -> None:
        """`awaits_workers`: without any the load goes on until it is stopped, since others may come."""
        self._seat = seat
        self._credits = credits
        self._clock = clock
        self._records_manager = records_manager
        self._workers_planned = workers_planned
        self._return_interval_s = return_interval_s
        self._awaits_workers = awaits_workers
        self._slots_max: dict[str, int] = {}
        self._scheduler: Scheduler | None = None
        self._start: StartPhase
        """Of the phase that runs, or of the last one; not there before the first."""
        self._orders = OrderBook()
        self._returns_came: Counter[str] = Counter()
        """By worker: the number of the next one."""
        self._returned: Counter[str] = Counter()
        """By worker: requests of this phase whose credits it has returned."""
        self._lost_workers: dict[str, tuple[int, int]] = {}
        """Those lost in this phase: what each had returned, and what it had not."""
        self._rescheduled = asyncio.Event()

    async def run(self) -> None:
        works = self._take_orders(), self._take_returns(), self._tick(), self._tell_status(), self._watch_orders()
        await run_together(*works)

    async def _take_orders(self) -> None:
        while True:
            _, message = await self._seat.receive()
            now_ns = self._clock.now_ns()
            match message:
                case Configure():
                    self._seat.send(ServiceReady(self._seat.name))
                case StartPhase():
                    self._start_phase(message)
                case StopPhase() if self._scheduler is not None:
                    if not self._is_draining(now_ns):
                        self._start = msgspec.structs.replace(self._start, stop_ns=now_ns)
                    self._perform(self._scheduler.stop(message.cut_ns, now_ns))
                case ServiceLost() if message.service_id in self._slots_max:
                    self._count_out(message.service_id)
                case Exit():
                    return

    async def _take_returns(self) -> None:
        while True:
            worker, (payload,) = await self._credits.receive()
            message = decode(payload)
            match message:
                case WorkerJoined():
                    self._slots_max[worker] = message.slots_max
                    # It may have been started again before the load: then it counts from zero again.
                    self._orders.begin(worker)
                    self._returns_came[worker] = 0
                    self._send(worker, WorkerWelcomed())
                    if self._scheduler is not None:
                        now_ns = self._clock.now_ns()
                        self._perform(self._scheduler.worker_joined(worker, message.slots_max, now_ns))
                case CreditReturns():
                    self._take_return(worker, message)

    def _take_return(self, worker: str, message: CreditReturns) -> None:
        if worker not in self._slots_max:
            return  # It is lost, and so is what it held.
        due = self._returns_came[worker]
        if message.sequence != due:
            # What the missing ones said is unknown, so its account cannot be closed; that of a lost worker can.
            self._lose(worker, f"its credit returns did not arrive: number {message.sequence} came where {due} was due")
            return
        self._returns_came[worker] += 1
        self._orders.confirm(worker, message.orders_taken, self._clock.now_ns(), is_last=message.drained)
        if self._scheduler is None or message.phase != self._start.plan.phase:
            return
        self._returned[worker] += message.completed + message.failed + message.cancelled + message.censored
        returned = CreditReturn(
            completed=message.completed,
            failed=message.failed,
            cancelled=message.cancelled,
            censored=message.censored,
            unused=message.unused,
            queued=message.queued,
            overdue=message.overdue,
            in_flight=message.in_flight,
            idle_slots=message.idle_slots,
            drained=message.drained,
        )
        self._perform(self._scheduler.returned(worker, returned, self._clock.now_ns()))

    def _lose(self, worker: str, reason: str) -> None:
        """Counts the worker out at once; the controller tells the others, and tells it to leave."""
        self._seat.send(ServiceLost(worker, reason))
        self._count_out(worker)

    async def _watch_orders(self) -> None:
        while True:
            await asyncio.sleep(ORDERS_INTERVAL_S)
            for worker in self._orders.overdue(self._clock.now_ns()):
                self._lose(worker, "an order of the timing manager did not reach it")

    def _count_out(self, worker: str) -> None:
        del self._slots_max[worker]
        self._orders.forget(worker)
        if self._scheduler is None:
            return
        lost_before = self._scheduler.ledger.lost
        orders = self._scheduler.worker_lost(worker, self._clock.now_ns())
        self._lost_workers[worker] = self._returned[worker], self._scheduler.ledger.lost - lost_before
        self._perform(orders)

    def _start_phase(self, start: StartPhase) -> None:
        self._start = start
        self._returned.clear()
        self._lost_workers = {}
        self._scheduler = Scheduler(
            start.plan,
            workers_planned=self._workers_planned,
            return_interval_s=self._return_interval_s,
            awaits_workers=self._awaits_workers,
        )
        shares = [WorkerShare(worker, slots_max) for worker, slots_max in self._slots_max.items()]
        self._perform(self._scheduler.start(shares, start.start_ns, self._clock.now_ns()))

    async def _tick(self) -> None:
        """Calls the scheduler when it asked to be called, and at once when that instant may have changed."""
        while True:
            self._rescheduled.clear()
            now_ns = self._clock.now_ns()
            wake_ns = self._scheduler.next_tick_ns() if self._scheduler is not None else -1
            if self._scheduler is not None and 0 <= wake_ns <= now_ns:
                self._perform(self._scheduler.tick(now_ns))
                continue
            timeout_s = (wake_ns - now_ns) / NS_PER_S if wake_ns >= 0 else None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._rescheduled.wait(), timeout_s)

    async def _tell_status(self) -> None:
        while True:
            await asyncio.sleep(STATUS_INTERVAL_S)
            if self._scheduler is not None:
                self._seat.send(self._status(), to=self._records_manager)

    def _status(self) -> LoadStatus:
        assert self._scheduler is not None
        phase = self._start.plan
        ledger = self._scheduler.ledger
        done = ledger.completed + ledger.failed + ledger.cancelled + ledger.censored + ledger.lost
        in_flight_count = self._scheduler.in_flight_count
        return LoadStatus(
            phase=phase.phase,
            start_ns=self._start.start_ns,
            offered_count=ledger.offered,
            issued_count=done + in_flight_count,
            in_flight_count=in_flight_count,
            expected_count=phase.request_count if phase.request_count is not None else -1,
            expected_s=phase.duration_ns / NS_PER_S if phase.duration_ns is not None else -1,
            draining=self._is_draining(self._clock.now_ns()),
        )

    def _is_draining(self, now_ns: int) -> bool:
        """Whether the phase has stopped dispatching, by its plan or by order."""
        return 0 <= self._start.stop_ns <= now_ns

    def _perform(self, orders: list[actions.Action]) -> None:
        for action in orders:
            match action:
                case actions.FinishPhase():
                    self._finish(action)
                case _:
                    number = self._orders.number(action.worker, self._clock.now_ns())
                    self._send(action.worker, _order(action, self._start.plan, number))
        self._rescheduled.set()

    def _finish(self, action: actions.FinishPhase) -> None:
        self._seat.send(self._status(), to=self._records_manager)
        self._scheduler = None
        counts = dataclasses.asdict(action.ledger)
        log.info("phase %d accounted for: %s", self._start.plan.phase, counts)
        start = self._start
        now_ns, unplaced_s = self._clock.now_ns(), action.unplaced_slot_ns / NS_PER_S
        finished = PhaseFinished(
            phase=start.plan.phase,
            start_ns=start.start_ns,
            stop_ns=start.stop_ns,
            end_ns=now_ns,
            ledger=counts,
            unplaced_slot_s=unplaced_s,
            lost_workers=self._lost_workers,
            unsent_runs=action.unsent_runs,
            unsent_until_ns=action.unsent_until_ns,
        )
        self._seat.send(finished)

    def _send(self, worker: str, message: Message) -> None:
        if not self._credits.send([encode(message)], worker):
            log.warning("%s could not be reached with %s", worker, type(message).__name__)
            # Who watches its process says better why, and sooner; but a worker that lacks an order must not go on.
            reason = f"its credit socket was gone when it was to get {type(message).__name__}"
            lost = ServiceLost(worker, reason)
            asyncio.get_running_loop().call_later(REFUSAL_GRACE_S, self._seat.send, lost)


def _order(action: actions.WorkerAction, plan: PhasePlan, number: int) -> CreditOrder:
    """The action as its message."""
    phase = plan.phase
    match action:
        case actions.PrepareWorker():
            instants = action.start_ns, action.stop_ns, action.cut_ns
            return PreparePhase(phase, number, action.slots, plan.ramp_ns, *instants, plan.mode is Mode.CLOSED)
        case actions.IssueCredits():
            due = b"" if action.due_ns is None else action.due_ns.tobytes()
            return CreditBatch(phase, number, action.indices.tobytes(), due)
        case actions.SetSlots():
            return SetSlots(phase, number, action.slots)
        case actions.EndCredits():
            return EndCredits(phase, number)
        case actions.CutWorker():
            return CutPhase(phase, number, action.cut_ns)
