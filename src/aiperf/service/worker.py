"""The worker: holds connections, sends requests at their due time, hands on what it sees.

Owns: the loop that joins credits (`aiperf.schedule.dispatcher`), the timing client (`aiperf.endpoint.client`) and the
slices (`aiperf.record.slices`). Does not own: when a credit is due, how a request is made, what a response means.

On the timing path nothing waits and nothing is parsed. A finished request frees its slot and the next credit is
dispatched in the same callback; slices and credit returns leave on timers of their own.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from aiperf.clock import Clock
from aiperf.dataset.sampling import Sampler, Strategy
from aiperf.dataset.store import Store
from aiperf.endpoint.exchange import Exchange, Outcome, Sink
from aiperf.endpoint.request_head import RequestHead
from aiperf.record.request_id import x_correlation_id, x_request_id
from aiperf.schedule.dispatcher import Dispatcher
from aiperf.schedule.phases import PROFILING
from aiperf.service.cpu_pressure import read_cpu_pressure
from aiperf.service.slice_outlet import SliceOutlet
from aiperf.service.supply import Supply
from aiperf.service.together import run_together
from aiperf.units import NS_PER_MS, NS_PER_S
from aiperf.wire.bus import Seat
from aiperf.wire.messages import (
    Configure,
    CreditBatch,
    CreditReturns,
    CutPhase,
    EndCredits,
    Exit,
    FlushRecords,
    PreparePhase,
    RecordProcessorAdded,
    RecordsFlushed,
    ServiceLost,
    ServiceReady,
    SetSlots,
    WorkerJoined,
    WorkerWelcomed,
    decode,
    encode,
)
from aiperf.wire.ports import Port

log = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 0.05
"""How often slices may leave."""
FLUSH_BYTES = 64 << 10
"""A smaller slice waits for more, to spread its cost, …"""
FLUSH_AFTER_S = 0.25
"""… but only so long: there is a live view."""

LOOP_TIMER_GRAIN_S = 0.001
"""The event loop's timers are exact to a millisecond, either way."""

LEAVE_LIMIT_S = 0.75
"""Told to leave before its time: so long requests in flight may take to end, and slices to be handed over."""

DISPATCHES_PER_TURN = 128
"""After so many dispatches the event loop gets its turn: a burst must not delay the reading of stamps."""


class Client(Protocol):
    """What the worker needs of the HTTP timing client."""

    def attach(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def submit(self, exchange: Exchange) -> None: ...
    def cancel_all(self, outcome: Outcome) -> None: ...
    def close(self) -> None: ...
    def observations(self) -> dict[str, float]: ...


class Timer(Protocol):
    """A one-shot timer better than the event loop's millisecond."""

    def arm(self, at_ns: int) -> None: ...
    def close(self) -> None: ...


class _Phase:
    """What the worker keeps of the phase that runs."""

    def __init__(self, phase: int, cut_ns: int, run_id: str) -> None:
        self.phase = phase
        # Warm-up has credits of its own, so its requests need ids of their own.
        self.ids_of = run_id if phase == PROFILING else f"{run_id}/warm-up"
        self.cut_ns = cut_ns
        self.closed_loop = False
        self.stopped = False
        self.drained = False
        self.unused = b""


class Worker:
    """One worker. `run()` returns when it is told to exit.

    Credits are returned every `return_interval_s` at the least. `make_client` gets the sink; `make_timer` the callback.
    `wait_for_model` gets the body of a request; the worker that is told to wait is not ready before it returns.
    """

    def __init__(
        self,
        *,
        seat: Seat,
        run_id: str,
        seed: int,
        sampling: Strategy,
        heads: Sequence[RequestHead],
        credits: Port,
        connect_records: Callable[[str], Port],
        slots_max: int,
        return_interval_s: float,
        clock: Clock,
        make_client: Callable[[Sink], Client],
        make_timer: Callable[[Callable[[], None]], Timer],
        data_dir: Path,
        supply: Supply,
        wait_for_model: Callable[[bytes], Awaitable[None]],
        observe: Callable[[], dict[str, float]] = dict,
    ) -> None:
        self._seat = seat
        self._run_id = run_id
        self._seed = seed
        self._sampling = sampling
        self._heads = heads
        self._credits = credits
        self._clock = clock
        self._slots_max = slots_max
        self._return_interval_s = return_interval_s
        self._dispatcher = Dispatcher(slots_max)
        self._cpu_at_start = read_cpu_pressure()
        self._loop_lag_max_ns = 0
        self._outlet = SliceOutlet(seat.name, connect_records, data_dir)
        self._client = make_client(self)
        self._timer = make_timer(self._pump)
        self._supply = supply
        self._wait_for_model = wait_for_model
        self._observe = observe
        self._configured: asyncio.Future[Configure] = asyncio.get_running_loop().create_future()
        self._welcomed = asyncio.Event()
        self._batch_sequence = 0
        self._is_leaving = False
        self._handle = 0
        self._freed_ns: deque[int] = deque()
        self._phase: _Phase | None = None
        self._return_sequence = 0
        self._pump_again = False
        self._returning: asyncio.TimerHandle | None = None
        self._low_water = 0
        # The client calls these; bound here so that a read costs one call, not two.
        self.on_head = self._outlet.on_head
        self.on_read = self._outlet.on_read

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._client.attach(self._loop)
        try:
            await run_together(self._take_orders(), self._take_credits(), self._get_ready())
        finally:
            self._is_leaving = True
            if self._returning is not None:
                self._returning.cancel()
            self._timer.close()
            self._client.close()
            self._outlet.close()

    def health(self) -> dict[str, float]:
        """What the worker observes of itself, and its host of itself."""
        return {"cpu_s": time.process_time()} | self._client.observations() | self._observe()

    def _account(self) -> dict[str, float]:
        """The same at the end, and how its process fared in the measured phase, which is the last."""
        pressure = read_cpu_pressure().since(self._cpu_at_start)
        return self.health() | pressure.observations() | {"loop_lag_max_ms": self._loop_lag_max_ns / NS_PER_MS}

    # The control bus

    async def _take_orders(self) -> None:
        while True:
            _, message = await self._seat.receive()
            match message:
                case Configure() if not self._configured.done():
                    self._outlet.configure(message.workers.index(self._seat.name), message.record_processors)
                    self._configured.set_result(message)
                case ServiceLost():
                    self._outlet.lose(message.service_id)
                case RecordProcessorAdded():
                    self._outlet.gain(message.service_id)
                case FlushRecords():
                    await self._hand_over_everything()
                case Exit():
                    return

    async def _get_ready(self) -> None:
        """Says that the worker is ready when it is, and then sees to its slices. Orders are heard meanwhile."""
        configure = await self._configured
        path = Path(configure.dataset_path)
        await self._supply.dataset(path)
        self._store = Store.open(path)
        self._sampler = Sampler(self._sampling, len(self._store), self._seed)
        self._credits.send([encode(WorkerJoined(self._slots_max))])
        await self._welcomed.wait()
        if configure.waits_for_model:
            await self._wait_for_model(self._store.body(0))
        self._seat.send(ServiceReady(self._seat.name))
        await self._flush_slices()

    async def leave(self, say_farewell: Callable[[], object]) -> None:
        """Hands back what is in hand, and hands over what ends within a moment. What is in flight then is lost.

        The farewell comes last: from then on nothing of this worker is believed.
        """
        self._is_leaving = True
        if self._phase is not None:
            self._stop_dispatching(self._phase)
        tries = round(LEAVE_LIMIT_S / FLUSH_INTERVAL_S)
        while self._phase is not None and self._dispatcher.in_flight and tries:
            tries -= 1
            await asyncio.sleep(FLUSH_INTERVAL_S)
        self._return_credits()
        if self._configured.done():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hand_over_everything(), LEAVE_LIMIT_S)
        say_farewell()

    async def _hand_over_everything(self) -> None:
        await self._outlet.drain(self._clock.now_ns)
        flushed = RecordsFlushed(
            self._seat.name, self._outlet.slice_counts(), self._outlet.deferred_bytes, self._account()
        )
        self._seat.send(flushed)

    # The credit socket

    async def _take_credits(self) -> None:
        while True:
            _, (payload,) = await self._credits.receive()
            message = decode(payload)
            match message:
                case WorkerWelcomed():
                    self._welcomed.set()
                    continue
                case PreparePhase():
                    self._phase = _Phase(message.phase, message.cut_ns, self._run_id)
                    self._cpu_at_start = read_cpu_pressure()
                    self._freed_ns.clear()
                    self._dispatcher.prepare(message.slots, message.start_ns, message.stop_ns, message.ramp_ns)
                    self._await_cut(self._phase)
                    if message.stop_ns >= 0:
                        self._call_at(message.stop_ns, self._stop_dispatching, self._phase)
                    self._return_credits()  # The first of the regular returns.
                case CreditBatch() if message.sequence != self._batch_sequence:
                    reason = f"credits did not reach it: batch {message.sequence} came, not {self._batch_sequence}"
                    await self.leave(partial(self._seat.send, ServiceLost(self._seat.name, reason)))
                    return
                case CreditBatch() if self._phase is not None:
                    self._batch_sequence += 1
                    self._dispatcher.add(message.indices, message.due_ns)
                    self._phase.closed_loop = not message.due_ns
                    # In closed loop ask for more when half of the hand is gone: a round trip later the rest is not yet.
                    self._low_water = self._dispatcher.queued // 2 if not message.due_ns else -1
                case SetSlots():
                    self._dispatcher.set_slots(message.slots)
                case EndCredits():
                    self._dispatcher.end_credits()
                case CutPhase() if self._phase is not None:
                    self._phase.cut_ns = message.cut_ns
                    self._dispatcher.end_credits()
                    self._stop_dispatching(self._phase)
                    self._await_cut(self._phase)
                case _:
                    continue
            self._pump()
            if isinstance(message, SetSlots | EndCredits):
                self._return_credits()

    def _call_at(self, at_ns: int, callback: Callable[[_Phase], None], phase: _Phase) -> None:
        """Never early: until then the dispatcher's own clock decides, and an arrival may be due just before it."""
        delay_s = max(0, at_ns - self._clock.now_ns()) / NS_PER_S + LOOP_TIMER_GRAIN_S
        self._loop.call_later(delay_s, callback, phase)

    def _await_cut(self, phase: _Phase) -> None:
        if phase.cut_ns >= 0:
            self._call_at(phase.cut_ns, self._cut, phase)

    def _stop_dispatching(self, phase: _Phase) -> None:
        """By this worker's own clock; what is in hand unsent goes back."""
        if phase is self._phase and not phase.stopped:
            phase.stopped = True
            phase.unused = self._dispatcher.stop()
            self._return_credits()

    def _cut(self, phase: _Phase) -> None:
        if phase is not self._phase or phase.drained or self._clock.now_ns() < phase.cut_ns - NS_PER_MS:
            return  # Another cut instant was set meanwhile, or nothing is left to cut.
        self._stop_dispatching(phase)
        self._client.cancel_all(Outcome.CENSORED)
        self._return_credits()

    def _return_credits(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
            self._returning = None
        phase = self._phase
        if phase is None or phase.drained:
            return
        counts = self._dispatcher.take_returns(self._clock.now_ns())
        unused, phase.unused = phase.unused + counts.unused, b""
        phase.drained = counts.drained
        message = CreditReturns(
            phase=phase.phase,
            sequence=self._return_sequence,
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
            self._returning = self._loop.call_later(self._return_interval_s, self._return_credits)

    # The timing path

    def _pump(self) -> None:
        """Dispatches what may go now, and arms the timer for what is due next."""
        self._pump_again = False
        if self._is_leaving:
            return
        dispatcher = self._dispatcher
        now_ns = self._clock.now_ns
        for _ in range(DISPATCHES_PER_TURN):
            instant_ns = now_ns()
            credit = dispatcher.next(instant_ns)
            if credit < 0:
                break
            self._dispatch(credit, dispatcher.last_due_ns, instant_ns)
        else:
            if not self._pump_again:
                self._pump_again = True
                self._loop.call_soon(self._pump)
            return
        wake_ns = dispatcher.wake_ns()
        if wake_ns >= 0:
            self._timer.arm(wake_ns)
        if self._phase is None:
            return
        is_starved = self._phase.closed_loop and dispatcher.starved
        if dispatcher.queued <= self._low_water or is_starved or dispatcher.drained:
            self._low_water = -1
            self._return_credits()

    def _dispatch(self, credit: int, due_ns: int, now_ns: int) -> None:
        assert self._phase is not None
        entry = self._sampler.entry_index(credit)
        body = self._store.body(entry)
        ids_of = self._phase.ids_of
        heads = self._heads
        url_index = credit % len(heads)
        handle = self._handle = self._handle + 1
        rearm_delay_ns = -1
        if due_ns < 0 and self._freed_ns:
            rearm_delay_ns = now_ns - self._freed_ns.popleft()
        self._client.submit(
            Exchange(
                handle,
                credit_index=credit,
                turn_index=0,
                phase=self._phase.phase,
                entry_index=entry,
                url_index=url_index,
                due_ns=due_ns,
                dispatched_ns=now_ns,
                rearm_delay_ns=rearm_delay_ns,
                head=heads[url_index].write(
                    x_request_id(ids_of, credit, 0), x_correlation_id(ids_of, credit), len(body)
                ),
                body=body,
            )
        )

    def on_end(self, exchange: Exchange) -> None:
        """The client's word that an exchange is over: its slot is free, the next credit may go."""
        self._outlet.on_end(exchange)
        self._dispatcher.finished(exchange.outcome)
        if exchange.due_ns < 0:
            self._freed_ns.append(exchange.end_ns)
        if not self._pump_again:
            # Not at once: the client may be ending many (a cut), and a refused connection must not recurse.
            self._pump_again = True
            self._loop.call_soon(self._pump)

    # Slices

    async def _flush_slices(self) -> None:
        flushed_ns = self._clock.now_ns()
        while True:
            slept_at_ns = self._clock.now_ns()
            await asyncio.sleep(FLUSH_INTERVAL_S)
            now_ns = self._clock.now_ns()
            if self._phase is not None and self._phase.phase == PROFILING and not self._phase.drained:
                lag_ns = now_ns - slept_at_ns - round(FLUSH_INTERVAL_S * NS_PER_S)
                self._loop_lag_max_ns = max(self._loop_lag_max_ns, lag_ns)
            if self._outlet.size_bytes >= FLUSH_BYTES or now_ns - flushed_ns >= FLUSH_AFTER_S * NS_PER_S:
                self._outlet.flush(now_ns)
                flushed_ns = now_ns
