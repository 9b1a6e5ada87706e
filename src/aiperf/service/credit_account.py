"""A worker's side of the account of credits: orders come, returns go, a phase is stopped and cut.

Owns: the phase that runs, by this worker's own clock; what is returned and when; whether orders are missing. Does not
own: the hand of credits (`aiperf.schedule.dispatcher`), dispatching, the requests (`worker`).
"""

import asyncio
from collections.abc import Callable

from aiperf.clock import Clock
from aiperf.schedule.dispatcher import Dispatcher, StarvedSlots
from aiperf.schedule.phases import PhaseKind, kind_of, step_of
from aiperf.units import NS_PER_MS, NS_PER_S
from aiperf.wire.messages import (
    CreditBatch,
    CreditOrder,
    CreditReturns,
    CutPhase,
    EndCredits,
    PreparePhase,
    SetSlots,
    encode,
)
from aiperf.wire.ports import Port

LOOP_TIMER_GRAIN_S = 0.001
"""The event loop's timers are exact to a millisecond, either way."""


class Phase:
    """What a worker keeps of the phase that runs."""

    def __init__(self, phase: int, cut_ns: int, run_id: str, *, closed_loop: bool) -> None:
        self.phase = phase
        self.kind = kind_of(phase)
        # Every phase has credits of its own, so its requests need ids of their own.
        other_ids = {
            PhaseKind.WARMUP: f"{run_id}/warm-up",
            PhaseKind.CALIBRATION: f"{run_id}/calibration-{step_of(phase)}",
        }
        self.ids_of = other_ids.get(self.kind, run_id)
        self.cut_ns = cut_ns
        self.closed_loop = closed_loop
        self.credits_came = False
        self.stopped = False
        self.drained = False
        self.unused = b""


class CreditAccount:
    """Over all phases of one worker. Credits are returned every `return_interval_s` at the least.

    `cut_in_flight` ends every request that is in flight as censored.
    """

    def __init__(
        self,
        *,
        run_id: str,
        dispatcher: Dispatcher,
        credits: Port,
        clock: Clock,
        return_interval_s: float,
        cut_in_flight: Callable[[], None],
    ) -> None:
        self._run_id = run_id
        self._dispatcher = dispatcher
        self._credits = credits
        self._clock = clock
        self._return_interval_s = return_interval_s
        self._cut_in_flight = cut_in_flight
        self.phase: Phase | None = None
        self._orders_taken = 0
        self._return_sequence = 0
        self._returning: asyncio.TimerHandle | None = None
        self._low_water = 0
        self._starved_slot_ns = 0
        self._starved_slots = StarvedSlots()
        """Since the last event."""
        self._counted_until_ns = 0

    def take(self, order: CreditOrder) -> None:
        """Obeys. What may be dispatched now is for the caller to see; then comes `answer`.

        Raises: ValueError if orders before this one did not arrive.
        """
        if order.sequence != self._orders_taken:
            raise ValueError(f"orders did not reach it: number {order.sequence} came, not {self._orders_taken}")
        self._orders_taken += 1
        match order:
            case PreparePhase():
                self._begin(order)
            case CreditBatch() if self.phase is not None:
                self._dispatcher.add(order.indices, order.due_ns)
                self.phase.credits_came = True
                # In closed loop ask for more when half of the hand is gone: a round trip later the rest is not yet.
                self._low_water = self._dispatcher.queued // 2 if not order.due_ns else -1
            case SetSlots():
                self._dispatcher.set_slots(order.slots)
            case EndCredits():
                self._dispatcher.end_credits()
            case CutPhase() if self.phase is not None:
                self.phase.cut_ns = order.cut_ns
                self._dispatcher.end_credits()
                self.stop()
                self._await_cut(self.phase)

    def answer(self, order: CreditOrder) -> None:
        """Some orders want a return at once."""
        if isinstance(order, SetSlots | EndCredits):
            self.give_back()

    def give_back_if_needed(self) -> None:
        """A return at once, if the hand runs low or the phase is done."""
        dispatcher, phase = self._dispatcher, self.phase
        if phase is None:
            return
        is_starved = phase.closed_loop and dispatcher.starved
        if is_starved or self._starved_slots.ramp.slots:
            self._count_starvation(phase)
        # The first credits need no asking for: they are on their way.
        if dispatcher.queued <= self._low_water or (is_starved and phase.credits_came) or dispatcher.drained:
            self._low_water = -1
            self.give_back()

    def stop(self) -> None:
        """Dispatches no more in this phase; what is in hand unsent goes back."""
        if self.phase is not None:
            self._stop(self.phase)

    def give_back(self) -> None:
        """Returns what has ended since the last time, and begins to wait for the next."""
        self.close()
        phase = self.phase
        if phase is None or phase.drained:
            return
        counts = self._dispatcher.take_returns(self._clock.now_ns())
        unused, phase.unused = phase.unused + counts.unused, b""
        phase.drained = counts.drained
        message = CreditReturns(
            phase=phase.phase,
            sequence=self._return_sequence,
            orders_taken=self._orders_taken,
            completed=counts.completed,
            failed=counts.failed,
            cancelled=counts.cancelled,
            censored=counts.censored,
            unused=unused,
            queued=counts.queued,
            overdue=counts.overdue,
            in_flight=counts.in_flight,
            idle_slots=counts.idle_slots,
            drained=counts.drained,
        )
        self._return_sequence += 1
        self._credits.send([encode(message)])
        if not phase.drained:
            loop = asyncio.get_running_loop()
            self._returning = loop.call_later(self._return_interval_s, self.give_back)

    @property
    def starved_slot_s(self) -> float:
        """Slots that stood idle for want of credits in this phase until now, times how long."""
        if self.phase is not None:
            self._count_starvation(self.phase)
        return self._starved_slot_ns / NS_PER_S

    def _count_starvation(self, phase: Phase) -> None:
        """Between two of these calls slots change by the ramp alone, which `StarvedSlots` knows."""
        now_ns = self._clock.now_ns()
        self._starved_slot_ns += self._starved_slots.slot_ns(self._counted_until_ns, now_ns)
        self._starved_slots = self._dispatcher.starved_slots() if phase.closed_loop else StarvedSlots()
        self._counted_until_ns = now_ns

    def close(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
            self._returning = None

    def _begin(self, prepare: PreparePhase) -> None:
        self.phase = phase = Phase(prepare.phase, prepare.cut_ns, self._run_id, closed_loop=prepare.closed_loop)
        self._dispatcher.prepare(prepare.slots, prepare.start_ns, prepare.stop_ns, prepare.ramp_ns)
        self._starved_slot_ns, self._starved_slots = 0, StarvedSlots()
        self._count_starvation(phase)  # a worker that never gets a credit starves from the start
        self._await_cut(phase)
        if prepare.stop_ns >= 0:
            self._call_at(prepare.stop_ns, self._stop, phase)
        self.give_back()  # The first of the regular returns.

    def _call_at(self, at_ns: int, callback: Callable[[Phase], None], phase: Phase) -> None:
        """Never early: until then the dispatcher's own clock decides, and an arrival may be due just before it."""
        delay_s = max(0, at_ns - self._clock.now_ns()) / NS_PER_S + LOOP_TIMER_GRAIN_S
        asyncio.get_running_loop().call_later(delay_s, callback, phase)

    def _await_cut(self, phase: Phase) -> None:
        if phase.cut_ns >= 0:
            self._call_at(phase.cut_ns, self._cut, phase)

    def _stop(self, phase: Phase) -> None:
        if phase is self.phase and not phase.stopped:
            phase.stopped = True
            phase.unused = self._dispatcher.stop()
            self._count_starvation(phase)
            self.give_back()

    def _cut(self, phase: Phase) -> None:
        if phase is not self.phase or phase.drained or self._clock.now_ns() < phase.cut_ns - NS_PER_MS:
            return  # Another cut instant was set meanwhile, or nothing is left to cut.
        self._stop(phase)
        self._cut_in_flight()
        self.give_back()
