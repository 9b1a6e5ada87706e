"""The worker: holds connections, sends requests at their due time, hands on what it sees.

Owns: the loop that joins credits (`credit_account`, `aiperf.schedule.dispatcher`), the timing client
(`aiperf.endpoint.client`) and the slices (`aiperf.record.slices`). Does not own: when a credit is due, how a request is
made, what a response means.

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
from typing import NoReturn, Protocol

from aiperf.clock import Clock
from aiperf.dataset.sampling import Sampler, Strategy
from aiperf.dataset.store import Store
from aiperf.endpoint.exchange import Exchange, Outcome, Sink
from aiperf.endpoint.request_head import RequestHead
from aiperf.record.request_id import x_correlation_id, x_request_id
from aiperf.schedule.dispatcher import Dispatcher
from aiperf.schedule.phases import PhaseKind, kind_of
from aiperf.service.credit_account import CreditAccount
from aiperf.service.garbage import TIMING_THRESHOLDS, set_aside
from aiperf.service.membership import DismissedError
from aiperf.service.self_observation import SelfObservation
from aiperf.service.slice_outlet import SliceOutlet
from aiperf.service.slot_gaps import SlotGaps
from aiperf.service.supply import Supply
from aiperf.service.together import run_together
from aiperf.units import NS_PER_S
from aiperf.wire.bus import Seat
from aiperf.wire.messages import (
    Configure,
    CreditOrder,
    Exit,
    FlushRecords,
    Notice,
    PreparePhase,
    RecordProcessorAdded,
    RecordsFlushed,
    ServiceLost,
    ServiceReady,
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
    def abandon(self, first_target: int) -> None: ...
    def observe_anew(self) -> None: ...
    def observations(self) -> dict[str, float]: ...


class Timer(Protocol):
    """A one-shot timer better than the event loop's millisecond."""

    def arm(self, at_ns: int) -> None: ...
    def close(self) -> None: ...


class Worker:
    """One worker. `run()` returns when it is told to exit. Raises: DismissedError if that is before its time.

    Credits are returned every `return_interval_s` at the least. `make_client` gets the sink; `make_timer` the callback.
    `wait_for_model` gets the body of a request; the worker that is told to wait is not ready before it returns. The
    targets of `calibration_heads` come after those of `heads`.
    """

    def __init__(
        self,
        *,
        seat: Seat,
        run_id: str,
        seed: int,
        sampling: Strategy,
        heads: Sequence[RequestHead],
        calibration_heads: Sequence[RequestHead] = (),
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
        self._seed = seed
        self._sampling = sampling
        self._lanes = {PhaseKind.CALIBRATION: (len(heads), calibration_heads)}
        """Where requests of a phase go, if not to the endpoint: the first target's index, and the heads."""
        self._endpoint_lane = 0, heads
        self._first_target, self._heads = self._endpoint_lane
        self._credits = credits
        self._clock = clock
        self._slots_max = slots_max
        self._dispatcher = Dispatcher(slots_max)
        self._observation = SelfObservation()
        self._gaps = SlotGaps()
        self._outlet = SliceOutlet(seat.name, connect_records, data_dir, self._tell)
        self._client = make_client(self)
        self._account = CreditAccount(
            run_id=run_id,
            dispatcher=self._dispatcher,
            credits=credits,
            clock=clock,
            return_interval_s=return_interval_s,
            cut_in_flight=partial(self._client.cancel_all, Outcome.CENSORED),
        )
        self._timer = make_timer(self._on_timer)
        self._supply = supply
        self._wait_for_model = wait_for_model
        self._observe = observe
        self._configured: asyncio.Future[Configure] = asyncio.get_running_loop().create_future()
        self._welcomed = asyncio.Event()
        self._is_leaving = False
        self._handle = 0
        self._freed_ns: deque[int] = deque()
        self._pump_again = False
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
            self._observation.close()
            self._account.close()
            self._timer.close()
            self._client.close()
            self._outlet.close()

    def health(self) -> dict[str, float]:
        """What the worker observes of itself, and its host of itself."""
        return {"cpu_s": time.process_time()} | self._client.observations() | self._observe()

    def _last_observations(self) -> dict[str, float]:
        """The same at the end, and how its process fared in the measured phase, which is the last."""
        slots = {
            "starved_slot_s": self._account.starved_slot_s,
            "empty_slot_s": self._gaps.empty_slot_s(self._freed_ns, self._clock.now_ns()),
        }
        return self.health() | self._observation.observations() | slots

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
                    await self._hand_over_everything(is_last=message.is_last)
                case Exit() if message.reason:
                    await self._leave_before_time(message.reason)
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
        set_aside(TIMING_THRESHOLDS)  # the most of it, before anybody waits for this worker
        self._seat.send(ServiceReady(self._seat.name))
        await self._flush_slices()

    async def leave(self, say_farewell: Callable[[], object]) -> None:
        """Hands back what is in hand, and hands over what ends within a moment. What is in flight then is lost.

        The farewell comes last: from then on nothing of this worker is believed.
        """
        self._is_leaving = True
        self._account.stop()
        tries = round(LEAVE_LIMIT_S / FLUSH_INTERVAL_S)
        while self._account.phase is not None and self._dispatcher.in_flight and tries:
            tries -= 1
            await asyncio.sleep(FLUSH_INTERVAL_S)
        self._account.give_back()
        if self._configured.done():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hand_over_everything(), LEAVE_LIMIT_S)
        say_farewell()

    async def _leave_before_time(self, reason: str) -> NoReturn:
        """Raises: DismissedError, once what can be handed over is."""
        await self.leave(partial(self._seat.send, ServiceLost(self._seat.name, reason)))
        raise DismissedError(reason)

    async def _hand_over_everything(self, *, is_last: bool = True) -> None:
        await self._outlet.drain(self._clock.now_ns)
        observations = self._last_observations() | self._outlet.observations()
        slice_counts, deferred_bytes = self._outlet.slice_counts(), self._outlet.deferred_bytes
        self._seat.send(RecordsFlushed(self._seat.name, slice_counts, deferred_bytes, observations, is_last))

    def _tell(self, text: str) -> None:
        self._seat.send(Notice(text, lasting=True))

    # The credit socket

    async def _take_credits(self) -> None:
        while True:
            _, (payload,) = await self._credits.receive()
            message = decode(payload)
            if isinstance(message, WorkerWelcomed):
                self._welcomed.set()
            elif isinstance(message, CreditOrder):
                try:
                    self._account.take(message)
                except ValueError as error:
                    await self._leave_before_time(str(error))
                self._gaps.take(message, self._clock.now_ns())
                if isinstance(message, PreparePhase):
                    kind = kind_of(message.phase)
                    self._first_target, self._heads = self._lanes.get(kind, self._endpoint_lane)
                    set_aside(TIMING_THRESHOLDS)
                    self._freed_ns.clear()
                    if kind is not PhaseKind.CALIBRATION:
                        # Before the load, not when the servers leave: that would be in the midst of it.
                        self._client.abandon(self._lanes[PhaseKind.CALIBRATION][0])
                    if kind is PhaseKind.PROFILING:
                        self._client.observe_anew()
                        self._observation.begin()
                        self._outlet.observe_anew()
                self._pump()
                self._account.answer(message)

    # The timing path

    def _on_timer(self) -> None:
        self._observation.timer_fired(self._clock.now_ns())
        self._pump()

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
            self._observation.armed_ns = wake_ns
            self._timer.arm(wake_ns)
        self._account.give_back_if_needed()

    def _dispatch(self, credit: int, due_ns: int, now_ns: int) -> None:
        phase = self._account.phase
        assert phase is not None
        entry = self._sampler.entry_index(credit)
        body = self._store.body(entry)
        ids_of = phase.ids_of
        heads = self._heads
        position = credit % len(heads)
        handle = self._handle = self._handle + 1
        rearm_delay_ns = -1
        if due_ns < 0:
            if self._freed_ns:
                rearm_delay_ns = now_ns - self._freed_ns.popleft()
            else:
                self._gaps.first_dispatch(now_ns)
        self._client.submit(
            Exchange(
                handle,
                credit_index=credit,
                turn_index=0,
                phase=phase.phase,
                entry_index=entry,
                url_index=self._first_target + position,
                due_ns=due_ns,
                dispatched_ns=now_ns,
                rearm_delay_ns=rearm_delay_ns,
                head=heads[position].write(
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
            phase = self._account.phase
            if phase is not None and phase.kind is PhaseKind.PROFILING and not phase.drained:
                self._observation.loop_woke(now_ns - slept_at_ns - round(FLUSH_INTERVAL_S * NS_PER_S))
            if self._outlet.size_bytes >= FLUSH_BYTES or now_ns - flushed_ns >= FLUSH_AFTER_S * NS_PER_S:
                self._outlet.flush(now_ns)
                flushed_ns = now_ns
