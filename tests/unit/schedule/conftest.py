"""A run in simulated time: one scheduler, its workers' dispatchers, messages that take a while, requests that end."""

import heapq
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from aiperf.schedule.actions import CutWorker, EndCredits, FinishPhase, IssueCredits, PrepareWorker, SetSlots
from aiperf.schedule.arrivals import Arrivals
from aiperf.schedule.dispatcher import Dispatcher
from aiperf.schedule.ledger import CreditReturn, Ledger
from aiperf.schedule.phases import Mode, Pattern, PhaseKind, PhasePlan
from aiperf.schedule.scheduler import Scheduler
from aiperf.schedule.shares import WorkerShare

MS = 1_000_000
S = 1_000_000_000
START_NS = 10 * S
RETURN_INTERVAL_NS = 100 * MS
CENSORED = 3
LEAVE_LIMIT_NS = 750 * MS


@dataclass
class SimulatedWorker:
    """What the worker service does around its dispatcher, without sockets."""

    name: str
    slots_max: int
    latency_ns: Callable[[random.Random], int]
    skew_ns: int = 0
    dispatcher: Dispatcher = field(init=False)
    alive: bool = True
    running: dict[int, int] = field(default_factory=dict)
    unused: bytes = b""
    low_water: int = -1
    returning: int = 0
    prepared: bool = False
    cut_ns: int = -1
    drained: bool = False

    def __post_init__(self) -> None:
        self.dispatcher = Dispatcher(self.slots_max)


@dataclass
class Outcome:
    """What an onlooker saw of a run."""

    ledger: Ledger
    end_ns: int
    due_ns: dict[int, int]
    """Due instant of each credit that was handed out; -1 in closed loop."""
    dispatched_ns: dict[int, int]
    """When each credit was dispatched, on the true clock."""
    ended: dict[int, int]
    """Outcome of each credit that ended."""
    owner: dict[int, str]
    in_flight_max: int
    queued_max: int
    """The most credits that were in the hands of workers, not dispatched."""
    action_count: int
    moves: int
    """Orders that changed slots."""

    def waits_ns(self) -> list[int]:
        return [instant - self.due_ns[index] for index, instant in self.dispatched_ns.items()]


class Simulation:
    """Runs one phase to its end and checks on the way what must hold at every instant."""

    def __init__(
        self,
        plan: PhasePlan,
        workers: Mapping[str, int],
        *,
        seed: int = 0,
        latency_ns: Callable[[random.Random], int] = lambda _: 50 * MS,
        latencies_ns: Mapping[str, Callable[[random.Random], int]] | None = None,
        delay_max_ns: int = 5 * MS,
        skew_max_ns: int = 0,
        lends: bool = True,
        workers_planned: int = 0,
        awaits_workers: bool = False,
    ) -> None:
        self.random = random.Random(seed)
        self.plan = plan
        self.scheduler = Scheduler(plan, lends=lends, workers_planned=workers_planned, awaits_workers=awaits_workers)
        self.latency_ns = latency_ns
        self.latencies_ns = latencies_ns or {}
        self.delay_max_ns = delay_max_ns
        self.skew_max_ns = skew_max_ns
        self.workers = {name: self._worker(name, slots_max) for name, slots_max in workers.items()}
        self.first = set(self.workers)
        self.now_ns = START_NS - S
        self.queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self.order = 0
        self.channel_free_ns: dict[tuple[str, str], int] = {}
        self.tick_at = -1
        self.in_flight = self.queued = 0
        self.seen = Outcome(Ledger(), 0, {}, {}, {}, {}, 0, 0, 0, 0)
        self.handed_back: set[int] = set()
        self.finished = False
        self.unplaced_slot_ns = self.unsent_until_ns = -1
        self.unsent_runs = np.empty((0, 2), np.int64)
        self.stopped_ns = 1 << 62

    def _worker(self, name: str, slots_max: int) -> SimulatedWorker:
        skew_ns = self.random.randint(-self.skew_max_ns, self.skew_max_ns)
        return SimulatedWorker(name, slots_max, self.latencies_ns.get(name, self.latency_ns), skew_ns)

    # What the tests call

    def lose(self, name: str, at_ns: int) -> None:
        self._at(at_ns, self._die, name)

    def leave(self, name: str, at_ns: int) -> None:
        """It stops and hands back what it has in hand; a moment later it is gone."""
        self._at(at_ns, self._leave, name)

    def join(self, name: str, slots_max: int, at_ns: int) -> None:
        self._at(at_ns, self._join, name, slots_max)

    def stop(self, at_ns: int, grace_ns: int) -> None:
        self._at(at_ns, self._stop, grace_ns)

    def run(self) -> Outcome:
        shares = [WorkerShare(worker.name, worker.slots_max) for worker in self.workers.values()]
        self._perform(self.scheduler.start(shares, START_NS, self.now_ns))
        for _ in range(100_000):
            if self.finished:
                break
            assert self.queue, "nothing is left to happen, yet the phase is not finished"
            self.now_ns, _, event, arguments = heapq.heappop(self.queue)
            event(*arguments)
        assert self.finished, "the phase does not end"
        assert self.scheduler.tick(self.now_ns + S) == []
        assert self.scheduler.next_tick_ns() == -1
        self._check_ledger()
        return self.seen

    # The timing manager

    def _perform(self, actions: list[Any]) -> None:
        for action in actions:
            assert not self.finished, f"{action} after the end"
            self.seen.action_count += 1
            match action:
                case FinishPhase():
                    self.finished = True
                    self.seen.ledger, self.seen.end_ns = action.ledger, self.now_ns
                    self.unplaced_slot_ns = action.unplaced_slot_ns
                    self.unsent_runs = np.frombuffer(action.unsent_runs, np.int64).reshape(-1, 2)
                    self.unsent_until_ns = action.unsent_until_ns
                case IssueCredits():
                    due_ns = np.full(action.indices.size, -1) if action.due_ns is None else action.due_ns
                    for index, due in zip(action.indices.tolist(), due_ns.tolist(), strict=True):
                        again = index in self.handed_back
                        assert again or index not in self.seen.due_ns, f"credit {index} was handed out twice"
                        self.handed_back.discard(index)
                        self.seen.due_ns[index] = due
                        self.seen.owner[index] = action.worker
                    self._send(action.worker, "down", self._take, action.worker, action)
                case _:
                    self.seen.moves += isinstance(action, SetSlots)
                    self._send(action.worker, "down", self._take, action.worker, action)
        next_ns = self.scheduler.next_tick_ns()
        if next_ns != self.tick_at:
            self.tick_at = next_ns
            if next_ns >= 0:
                self._at(max(next_ns, self.now_ns), self._tick)

    def _tick(self) -> None:
        if not self.finished:
            self._perform(self.scheduler.tick(self.now_ns))

    def _returned(self, name: str, report: CreditReturn) -> None:
        if not self.finished:
            # Unsent, they may go to another: a worker whose clock is ahead stops before the others.
            self.handed_back.update(np.frombuffer(report.unused, np.int64).tolist())
            self._perform(self.scheduler.returned(name, report, self.now_ns))

    def _stop(self, grace_ns: int) -> None:
        if not self.finished:
            self.stopped_ns = min(self.stopped_ns, self.now_ns)
            self._perform(self.scheduler.stop(self.now_ns + grace_ns, self.now_ns))

    def _join(self, name: str, slots_max: int) -> None:
        self.workers[name] = self._worker(name, slots_max)
        self._perform(self.scheduler.worker_joined(name, slots_max, self.now_ns))

    def _leave(self, name: str) -> None:
        self._stop_dispatching(self.workers[name])
        self._at(self.now_ns + LEAVE_LIMIT_NS, self._farewell, name)

    def _farewell(self, name: str) -> None:
        """What its last return says is known before its loss is: they take the same way."""
        worker = self.workers[name]
        if worker.alive:
            self._return(worker)
            self._bury(worker)
            self._send(name, "up", self._mourn, name)

    def _die(self, name: str) -> None:
        worker = self.workers[name]
        if worker.alive:
            self._bury(worker)
            self._at(self.now_ns + self.random.randint(0, 300 * MS), self._mourn, name)

    def _bury(self, worker: SimulatedWorker) -> None:
        worker.alive = False
        self.in_flight -= len(worker.running)
        self.queued -= worker.dispatcher.queued
        worker.running.clear()

    def _mourn(self, name: str) -> None:
        self._perform(self.scheduler.worker_lost(name, self.now_ns))

    # A worker

    def _take(self, name: str, action: Any) -> None:
        worker = self.workers[name]
        if not worker.alive:
            return
        dispatcher = worker.dispatcher
        match action:
            case PrepareWorker():
                assert not worker.prepared
                worker.prepared = True
                dispatcher.prepare(action.slots, action.start_ns, action.stop_ns)
                worker.cut_ns = action.cut_ns
                if action.stop_ns >= 0:
                    self._at(action.stop_ns - worker.skew_ns, self._stop_dispatching, worker)
                self._await_cut(worker, action.cut_ns)
            case IssueCredits():
                assert worker.prepared
                self.queued += action.indices.size
                dispatcher.add(action.indices.tobytes(), b"" if action.due_ns is None else action.due_ns.tobytes())
                worker.low_water = dispatcher.queued // 2 if action.due_ns is None else -1
            case SetSlots():
                dispatcher.set_slots(action.slots)
            case EndCredits():
                dispatcher.end_credits()
            case CutWorker():
                worker.cut_ns = action.cut_ns
                self._stop_dispatching(worker)
                self._await_cut(worker, action.cut_ns)
        self._pump(worker)
        if isinstance(action, PrepareWorker | SetSlots | EndCredits):
            self._return(worker)

    def _pump(self, worker: SimulatedWorker) -> None:
        if not worker.alive:
            return
        dispatcher, now_ns = worker.dispatcher, self.now_ns + worker.skew_ns
        while (index := dispatcher.next(now_ns)) >= 0:
            assert index not in self.seen.dispatched_ns, f"credit {index} was dispatched twice"
            assert self.seen.owner[index] == worker.name
            assert dispatcher.last_due_ns == self.seen.due_ns[index] <= now_ns
            assert now_ns >= START_NS
            assert self.plan.duration_ns is None or now_ns < START_NS + self.plan.duration_ns
            self.seen.dispatched_ns[index] = self.now_ns
            self.in_flight += 1
            self.queued -= 1
            worker.running[index] = self.now_ns
            self._at(self.now_ns + worker.latency_ns(self.random), self._end, worker, index)
        self.seen.in_flight_max = max(self.seen.in_flight_max, self.in_flight)
        self.seen.queued_max = max(self.seen.queued_max, self.queued)
        wake_ns = dispatcher.wake_ns()
        if wake_ns >= 0:
            self._at(max(wake_ns - worker.skew_ns, self.now_ns), self._wake, worker, wake_ns)
        if dispatcher.queued <= worker.low_water:
            worker.low_water = -1
            self._return(worker)

    def _wake(self, worker: SimulatedWorker, wake_ns: int) -> None:
        if worker.alive and worker.dispatcher.wake_ns() == wake_ns:
            self._pump(worker)

    def _end(self, worker: SimulatedWorker, index: int, outcome: int | None = None) -> None:
        if worker.running.pop(index, None) is None:
            return
        self.in_flight -= 1
        self.seen.ended[index] = self.random.choice((0, 0, 0, 1, 2)) if outcome is None else outcome
        worker.dispatcher.finished(self.seen.ended[index])
        self._pump(worker)

    def _stop_dispatching(self, worker: SimulatedWorker) -> None:
        if worker.alive:
            before = worker.dispatcher.queued
            worker.unused += worker.dispatcher.stop()
            self.queued -= before
            self._return(worker)

    def _await_cut(self, worker: SimulatedWorker, cut_ns: int) -> None:
        if cut_ns >= 0:
            self._at(max(cut_ns - worker.skew_ns, self.now_ns), self._cut, worker, cut_ns)

    def _cut(self, worker: SimulatedWorker, cut_ns: int) -> None:
        if worker.alive and worker.cut_ns == cut_ns:
            for index in list(worker.running):
                self._end(worker, index, CENSORED)
            self._return(worker)

    def _return(self, worker: SimulatedWorker, timer: int | None = None) -> None:
        if not worker.alive or worker.drained or timer not in (None, worker.returning):
            return
        before = worker.dispatcher.queued
        report = worker.dispatcher.take_returns(self.now_ns + worker.skew_ns)
        self.queued -= before - worker.dispatcher.queued
        report = report._replace(unused=worker.unused + report.unused)
        worker.unused, worker.drained = b"", report.drained
        self._send(worker.name, "up", self._returned, worker.name, report)
        worker.returning += 1
        self._at(self.now_ns + RETURN_INTERVAL_NS, self._return, worker, worker.returning)

    # Time

    def _at(self, at_ns: int, event: Callable[..., None], *arguments: Any) -> None:
        self.order += 1
        heapq.heappush(self.queue, (at_ns, self.order, event, arguments))

    def _send(self, worker: str, way: str, event: Callable[..., None], *arguments: Any) -> None:
        """Messages of one way to or from one worker arrive in order."""
        arrival_ns = self.now_ns + self.random.randint(0, self.delay_max_ns)
        arrival_ns = max(arrival_ns, self.channel_free_ns.get((worker, way), 0))
        self.channel_free_ns[worker, way] = arrival_ns
        self._at(arrival_ns, event, *arguments)

    # What must hold

    def _asked(self) -> set[int]:
        """Arrivals due before the phase ended, if no worker was lost."""
        plan = self.plan
        if plan.rate_rps is None:
            return set()
        end_ns = self.stopped_ns - START_NS
        if plan.duration_ns is not None:
            end_ns = min(end_ns, plan.duration_ns)
        arrivals = Arrivals(plan.pattern, plan.rate_rps, plan.smoothness, plan.seed)
        offsets_ns = arrivals.offsets(0, plan.request_count or 30_000)
        assert plan.request_count or offsets_ns[-1] >= end_ns
        return set(np.flatnonzero(offsets_ns < end_ns).tolist())

    def _check_ledger(self) -> None:
        ledger, seen = self.seen.ledger, self.seen
        assert ledger.reconciles
        assert ledger == self.scheduler.ledger
        alive = {name for name, worker in self.workers.items() if worker.alive}
        if self.plan.rate_rps is None or alive >= self.first:
            assert sorted(seen.due_ns) == list(range(len(seen.due_ns))), "credits are handed out without gaps"
        # Else arrivals may have come due while there was no worker.
        unsent = {index for first, count in self.unsent_runs.tolist() for index in range(first, first + count)}
        assert len(unsent) == self.unsent_runs[:, 1].sum() == ledger.unsent, "each unsent arrival is told once"
        assert not unsent & seen.dispatched_ns.keys()
        assert self.unsent_until_ns <= (seen.end_ns if self.plan.duration_ns is None else self.plan.stop_ns(START_NS))
        ended = [outcome for index, outcome in seen.ended.items() if seen.owner[index] in alive]
        for outcome, count in enumerate((ledger.completed, ledger.failed, ledger.cancelled, ledger.censored)):
            of_living = ended.count(outcome)
            assert of_living <= count <= list(seen.ended.values()).count(outcome)
            assert count == of_living or len(alive) < len(self.workers)
        if len(alive) == len(self.workers):
            assert ledger.lost == 0
            assert ledger.issued == len(seen.dispatched_ns) == len(seen.ended)
            assert unsent == self._asked() - seen.dispatched_ns.keys()
        else:
            assert ledger.issued >= len(seen.dispatched_ns)
        if self.plan.mode is not Mode.OPEN:
            assert seen.in_flight_max <= (self.plan.concurrency or 0)


@pytest.fixture
def simulate() -> type[Simulation]:
    return Simulation


@pytest.fixture
def phase_plan() -> Callable[..., PhasePlan]:
    return make_phase_plan


def make_phase_plan(
    *,
    concurrency: int | None = None,
    ramp_ns: int = 0,
    rate_rps: float | None = None,
    request_count: int | None = None,
    duration_ns: int | None = None,
    grace_ns: int = 0,
    pattern: Pattern = Pattern.POISSON,
    seed: int = 1,
) -> PhasePlan:
    mode = Mode.CLOSED if rate_rps is None else Mode.OPEN if concurrency is None else Mode.CAPPED
    return PhasePlan(
        kind=PhaseKind.PROFILING,
        mode=mode,
        concurrency=concurrency,
        ramp_ns=ramp_ns,
        rate_rps=rate_rps,
        pattern=pattern,
        smoothness=1.0,
        request_count=request_count,
        duration_ns=duration_ns,
        grace_ns=grace_ns,
        seed=seed,
    )
