"""What the schedule costs in CPU time: a worker's dispatcher per credit, the timing manager's scheduler per million.

    python benchmarks/schedule_cost.py

The scheduler is driven as services drive it, but for messages: open loop at 50,000 rps for 20 s with a return per
worker every 100 ms; closed loop with 4,000 slots whose workers return, every 100 ms, half a hand of finished credits.

CPU time, CPython 3.11, one of two shared cores of a virtual machine (best of several, cost of messages not included):

    dispatcher, closed loop: 0.17 µs a credit
    dispatcher, open loop:   0.21 µs a credit
    scheduler, per million credits (share of one core meanwhile)
      workers      1               16              400
      open loop    0.04 s (0.2 %)  0.04 s (0.2 %)  0.16 s (0.8 %)
      capped       0.04 s (0.2 %)  0.09 s (0.4 %)  0.43 s (2.1 %)
      closed loop  0.00 s (0.0 %)  0.01 s (0.1 %)  0.10 s (2.1 %)
"""

import time

import numpy as np

from aiperf.schedule.actions import IssueCredits
from aiperf.schedule.dispatcher import Dispatcher
from aiperf.schedule.ledger import CreditReturn
from aiperf.schedule.phases import Mode, Pattern, PhaseKind, PhasePlan
from aiperf.schedule.scheduler import Scheduler
from aiperf.schedule.shares import WorkerShare

S = 1_000_000_000
RETURN_INTERVAL_NS = S // 10
BATCH_COUNT = 5_000


def dispatcher_us(due: bool) -> float:
    """CPU time of `add`, `next` and `finished` for one credit. Units: µs."""
    batches = 40
    indices = np.arange(BATCH_COUNT, dtype=np.int64).tobytes()
    due_ns = np.arange(BATCH_COUNT, dtype=np.int64).tobytes() if due else b""
    dispatcher = Dispatcher()
    dispatcher.prepare(-1, 0, -1)
    began = time.process_time()
    for _ in range(batches):
        dispatcher.add(indices, due_ns)
        while dispatcher.next(BATCH_COUNT) >= 0:
            dispatcher.finished(0)
    return (time.process_time() - began) / (batches * BATCH_COUNT) * 1e6


def plan(
    mode: Mode, concurrency: int | None, rate_rps: float | None, count: int | None, seconds: int | None
) -> PhasePlan:
    duration_ns = None if seconds is None else seconds * S
    return PhasePlan(
        kind=PhaseKind.PROFILING,
        mode=mode,
        concurrency=concurrency,
        ramp_ns=0,
        rate_rps=rate_rps,
        pattern=Pattern.POISSON,
        smoothness=1.0,
        request_count=count,
        duration_ns=duration_ns,
        grace_ns=0,
        seed=7,
    )


def workers(count: int) -> list[WorkerShare]:
    return [WorkerShare(f"worker-{number}", 10_000) for number in range(count)]


def open_loop(worker_count: int, mode: Mode = Mode.OPEN) -> tuple[float, float, int]:
    """CPU seconds per million credits, share of one core while it runs, messages sent."""
    concurrency = 10_000 * worker_count if mode is Mode.CAPPED else None
    scheduler = Scheduler(plan(mode, concurrency, 50_000, None, 20))
    shares = workers(worker_count)
    report = CreditReturn(completed=50_000 // (10 * worker_count), in_flight=100, idle_slots=9_900)
    began = time.process_time()
    actions = scheduler.start(shares, 0, -S)
    for instant_ns in range(0, 20 * S, RETURN_INTERVAL_NS):
        if 0 <= scheduler.next_tick_ns() <= instant_ns:
            actions += scheduler.tick(instant_ns)
        for offset, share in enumerate(shares):
            at_ns = instant_ns + offset * RETURN_INTERVAL_NS // worker_count
            actions += scheduler.returned(share.worker, report, at_ns)
    spent_s = time.process_time() - began
    return spent_s / scheduler.ledger.issued * 1e6, spent_s / 20, len(actions)


def closed_loop(worker_count: int) -> tuple[float, float, int]:
    """As `open_loop`, of a million credits on 4,000 slots."""
    scheduler = Scheduler(plan(Mode.CLOSED, 4_000, None, 1_000_000, None))
    began = time.process_time()
    actions = scheduler.start(workers(worker_count), 0, -S)
    slots = scheduler.slots
    outstanding = dict.fromkeys(slots, 0)
    now_ns, seen = 0, 0
    while scheduler.next_tick_ns() != -1 or seen < len(actions):
        for action in actions[seen:]:
            if isinstance(action, IssueCredits):
                outstanding[action.worker] += action.indices.size
        seen = len(actions)
        now_ns += RETURN_INTERVAL_NS
        for offset, worker in enumerate(outstanding):
            done = outstanding[worker] - outstanding[worker] // 2
            outstanding[worker] -= done
            left = outstanding[worker]
            report = CreditReturn(completed=done, in_flight=left, idle_slots=max(0, slots[worker] - left))
            actions += scheduler.returned(worker, report, now_ns + offset * RETURN_INTERVAL_NS // worker_count)
    spent_s = time.process_time() - began
    return spent_s / scheduler.ledger.issued * 1e6, spent_s / (now_ns / S), len(actions)


def main() -> None:
    for due in (False, True):
        best_us = min(dispatcher_us(due) for _ in range(5))
        print(f"dispatcher, {'open' if due else 'closed'} loop: {best_us:.2f} µs a credit")
    for name, measure in (
        ("open", open_loop),
        ("capped", lambda n: open_loop(n, Mode.CAPPED)),
        ("closed", closed_loop),
    ):
        for worker_count in (1, 16, 400):
            per_million_s, core_fraction, messages = min(measure(worker_count) for _ in range(3))
            print(
                f"scheduler, {name} loop, {worker_count:3} workers: {per_million_s:.3f} s a million credits, "
                f"{core_fraction:.1%} of a core, {messages:,} messages"
            )


if __name__ == "__main__":
    main()
