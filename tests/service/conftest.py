"""Real services over the in-memory wire, in virtual time, against a server that is a formula."""

import asyncio
import json
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aiperf.deploy.layouts import memory_layout
from aiperf.deploy.memory import MemoryHosts, run_in_memory
from aiperf.endpoint.exchange import BodyKind, ErrorKind, Exchange, Outcome, Sink
from aiperf.plan.calibration import CalibrationPlan
from aiperf.plan.kubernetes import KubernetesPlan
from aiperf.plan.plan import (
    EndpointPlan,
    InputPlan,
    LoadPlan,
    Plan,
    ResultsPlan,
    ServicesPlan,
    TokenizerPlan,
    WarmupPlan,
)
from aiperf.schedule.calibration import calibration_of
from aiperf.schedule.phases import PhaseKind, kind_of
from aiperf.service.layout import SINGLETONS, Host, Layout, ServiceType
from aiperf.units import NS_PER_MS, NS_PER_S
from aiperf.wire.bus import Seat
from aiperf.wire.messages import AnyMessage, Notice, Progress, RunFinished

EPOCH_NS = 1_700_000_000 * NS_PER_S


class LoopClock:
    """The run clock as the loop's virtual time."""

    def now_ns(self) -> int:
        return EPOCH_NS + round(asyncio.get_running_loop().time() * NS_PER_S)


class LoopTimer:
    """A timer as exact as virtual time is."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, at_ns: int) -> None:
        self.close()
        loop = asyncio.get_running_loop()
        self._handle = loop.call_later(max(0, at_ns - LoopClock().now_ns()) / NS_PER_S, self._callback)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


class FormulaServer:
    """Answers request number n after `latency_ms(n)`; fails those that `fails(n)`. Keeps what was sent."""

    def __init__(self) -> None:
        self.latency_ms: Callable[[int], float] = lambda n: 100
        self.fails: Callable[[int], bool] = lambda n: False
        self.own_error_ms: Callable[[int], float] = lambda in_flight: 0.01
        """How much less than it took a server with an account says it took, by how many requests are in flight."""
        self.models = ["m"]
        """Those it lists."""
        self.sent: list[Exchange] = []
        self.in_flight = 0
        self.in_flight_max = 0

    def client(self, sink: Sink) -> "FormulaClient":
        return FormulaClient(self, sink)


class FormulaClient:
    """The client double: the exchange's fate is known when it is submitted."""

    def __init__(self, server: FormulaServer, sink: Sink) -> None:
        self._server = server
        self._sink = sink
        self._in_flight: dict[Exchange, asyncio.TimerHandle] = {}
        self._accounts: dict[Exchange, int] = {}
        self._clock = LoopClock()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def submit(self, exchange: Exchange) -> None:
        server = self._server
        number = len(server.sent)
        server.sent.append(exchange)
        server.in_flight += 1
        server.in_flight_max = max(server.in_flight_max, server.in_flight)
        exchange.sent_ns = exchange.send_done_ns = self._clock.now_ns()
        delay_s = server.latency_ms(number) / 1e3
        self._accounts[exchange] = round((delay_s * 1e3 - server.own_error_ms(server.in_flight)) * NS_PER_MS)
        self._in_flight[exchange] = self._loop.call_later(delay_s, self._answer, exchange, server.fails(number))

    def _answer(self, exchange: Exchange, fails: bool) -> None:
        now_ns = self._clock.now_ns()
        exchange.http_status, exchange.body_kind = 200, BodyKind.JSON
        if fails:
            exchange.http_status = 503
            exchange.outcome, exchange.error_kind = Outcome.FAILED, ErrorKind.HTTP_STATUS
        self._sink.on_head(exchange)
        usage: dict[str, Any] = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
        if exchange.phase >= 0 and kind_of(exchange.phase) is PhaseKind.CALIBRATION:  # a probe is in none
            usage["aiperf_sent_after_ns"] = [self._accounts[exchange]]
        choice = {"index": 0, "message": {"content": "hello there"}, "finish_reason": "stop"}
        body = {"error": {"message": "busy"}} if fails else {"choices": [choice], "usage": usage}
        if not fails and exchange.head.startswith(b"GET /v1/models "):
            body = {"object": "list", "data": [{"id": name} for name in self._server.models]}
        self._sink.on_read(exchange, now_ns, exchange.sent_ns, json.dumps(body).encode())
        exchange.first_byte_ns = now_ns
        self._end(exchange)

    def _end(self, exchange: Exchange) -> None:
        self._in_flight.pop(exchange).cancel()
        self._server.in_flight -= 1
        exchange.end_ns = self._clock.now_ns()
        self._sink.on_end(exchange)

    def cancel_all(self, outcome: Outcome) -> None:
        for exchange in list(self._in_flight):
            exchange.outcome, exchange.error_kind = outcome, ErrorKind.CUT
            self._end(exchange)

    def close(self) -> None:
        self.cancel_all(Outcome.CANCELLED)

    def abandon(self, first_target: int) -> None:
        """Nothing is connected."""

    def observe_anew(self) -> None:
        pass

    def observations(self) -> dict[str, float]:
        return {"kernel_stamped_read_count": 1}


class Benchmark:
    """One run of a plan, and what came of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = FormulaServer()
        self.progress: list[Progress] = []
        self.notices: list[str] = []
        self.heard_s: list[float] = []
        """When the operator heard of the controller, whatever it said."""
        self.on_progress: Callable[[Progress, Seat], None] = lambda progress, seat: None
        self.on_notice: Callable[[Notice, Seat], None] = lambda notice, seat: None

    async def run(
        self,
        *,
        workers: int = 1,
        processors: int | None = None,
        seed: int = 1,
        warmup: WarmupPlan | None = None,
        endpoint: EndpointPlan | None = None,
        min_workers: int | None = None,
        in_pods: bool = False,
        absent: Collection[str] = (),
        happenings: Callable[[MemoryHosts], Coroutine[Any, Any, None]] | None = None,
        connections_max: int = 10_000,
        results: ResultsPlan | None = None,
        calibration: CalibrationPlan | None = None,
        **load,
    ) -> RunFinished:
        """`in_pods`: each worker is a host of its own, beside a record processor that only it can reach."""
        plan = Plan(
            endpoint=endpoint or EndpointPlan(models=("m",)),
            tokenizer=TokenizerPlan(),
            input=InputPlan(isl_mean_tokens=4, entries_count=10),
            load=LoadPlan(**load),
            warmup=warmup or WarmupPlan(),
            services=ServicesPlan(),
            kubernetes=KubernetesPlan(min_workers=min_workers),
            results=results or ResultsPlan(),
            calibration=calibration or CalibrationPlan(),
        )
        layout = memory_layout(
            run_id="run",
            workers=workers,
            processors=workers if in_pods else processors,
            artifact_dir=self.folder,
            seed=seed,
            anchor_ns=EPOCH_NS,
            calibration_servers=1 if calibration_of(plan) else 0,
        )
        return await run_in_memory(
            spread_over_pods(layout) if in_pods else layout,
            plan,
            LoopClock(),
            make_client=self.server.client,
            make_timer=LoopTimer,
            on_message=self._see,
            absent=absent,
            happenings=happenings,
            connections_max=connections_max,
        )

    def _see(self, message: AnyMessage, seat: Seat) -> None:
        self.heard_s.append(asyncio.get_running_loop().time())
        if isinstance(message, Progress):
            self.progress.append(message)
            self.on_progress(message, seat)
        if isinstance(message, Notice):
            self.notices.append(message.text)
            self.on_notice(message, seat)

    @property
    def summary(self) -> dict:
        return json.loads((self.folder / "profile_export_aiperf.json").read_text())

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "profile_export.jsonl").read_text().splitlines()]

    def stream(self, phase: int = 1) -> list[tuple[int, int, int]]:
        """Credit, dataset entry and due instant of every request that was sent, by credit."""
        return sorted((x.credit_index, x.entry_index, x.due_ns) for x in self.server.sent if x.phase == phase)


def spread_over_pods(layout: Layout) -> Layout:
    """The same services: a control host, and pods of a worker and a record processor with a loopback each."""
    (everything,) = layout.hosts
    control = [seat for seat in everything.services if seat.service_type in SINGLETONS]
    hosts, addresses = [Host(everything.host_id, control)], dict(layout.addresses)
    for seat in layout.services(ServiceType.WORKER, ServiceType.RECORD_PROCESSOR):
        number = seat.service_id.rpartition("-")[2]
        hosts.append(Host(seat.service_id, [seat], machine=f"pod-{number}"))
        if seat.service_type is ServiceType.RECORD_PROCESSOR:
            addresses[f"records/{seat.service_id}"] = [seat.service_id, f"tcp://127.0.0.1:{7000 + int(number)}"]
    return msgspec.structs.replace(layout, hosts=hosts, addresses=addresses, replaces_workers=True)


def span_ms(exchanges: list[Exchange]) -> float:
    """From the first to the last dispatch."""
    instants = [exchange.dispatched_ns for exchange in exchanges]
    return (max(instants) - min(instants)) / NS_PER_MS


@pytest.fixture
def benchmark_run(tmp_path) -> Callable[..., Benchmark]:
    """Makes benchmarks, each with a folder of its own."""
    made = 0

    def make() -> Benchmark:
        nonlocal made
        made += 1
        return Benchmark(tmp_path / str(made))

    return make
