"""What each service needs, put together: from a seat in the layout to a running service.

Owns: construction. One function per service type; what a service needs is its constructor's signature. Does not own:
what any service does.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiperf.clock import Clock, RunClock
from aiperf.dataset.store import Store
from aiperf.dataset.tokens import Tokenizer, open_tokenizer
from aiperf.endpoint.client import HttpClient
from aiperf.endpoint.dialects import DIALECTS
from aiperf.endpoint.exchange import Sink
from aiperf.endpoint.local_ports import PortShare
from aiperf.endpoint.settings import ClientSettings
from aiperf.endpoint.target import Target
from aiperf.endpoint.timer import DueTimer
from aiperf.errors import AIPerfError, ExitCode
from aiperf.metrics.goodput import objectives_of
from aiperf.plan.plan import Plan
from aiperf.plan.source_address import source_addresses
from aiperf.record.assembly import RecordAssembler
from aiperf.record.token_counts import TokenPolicy
from aiperf.schedule.calibration import CalibrationShape, calibration_of
from aiperf.schedule.phases import PhasePlan, phases
from aiperf.service.cadence import cadence_of
from aiperf.service.calibration_rounds import CalibrationOrder
from aiperf.service.calibration_server import CalibrationServer, ServerThread, Serving
from aiperf.service.channels import channel_of
from aiperf.service.dataset_manager import DatasetManager
from aiperf.service.layout import Host, Layout, ServiceSeat, ServiceType, seat_of
from aiperf.service.membership import DismissedError, keep_in_touch, register, run_until_told_to_leave, say_farewell
from aiperf.service.model_probe import ModelProbe
from aiperf.service.model_wait import MODELS_PATH, Topic
from aiperf.service.record_processor import RecordProcessor
from aiperf.service.records_manager import RecordsManager
from aiperf.service.request_targets import (
    calibration_head,
    calibration_targets,
    endpoint_head,
    endpoint_targets,
    inference_path,
)
from aiperf.service.run_lifecycle import RunLifecycle
from aiperf.service.shard_outlet import ShardOutlet
from aiperf.service.slice_outlet import records_channel
from aiperf.service.supply import SameDisk, Supply
from aiperf.service.system_controller import SystemController
from aiperf.service.timing_manager import TimingManager
from aiperf.service.worker import Client, Timer, Worker
from aiperf.service.worker_manager import WorkerManager
from aiperf.units import ns_from_s
from aiperf.wire.bus import OPERATOR, Hub, Seat
from aiperf.wire.messages import Configure, ServiceFailed
from aiperf.wire.ports import FUNNEL_BOUND_MESSAGES, Port, Wire

log = logging.getLogger(__name__)

MakeClient = Callable[[Sink], Client]
MakeTimer = Callable[[Callable[[], None]], Timer]
InThread = Callable[..., Awaitable[Any]]

CONNECTS_PER_S = 5_000
"""Of all workers together. A thousand streams are open in a fifth of a second and 100,000 in 20; a server in Python
accepts some 10,000 a second on a core of its own, and has an accept queue of a few thousand at most."""


NO_TLS = "the built-in server speaks plain HTTP, the endpoint TLS: what that costs this side is not in the calibration"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a service lives: all it may need beside its own seat."""

    host: Host
    layout: Layout
    plan: Plan
    wire: Wire
    clock: Clock
    connections_max: int
    make_client: MakeClient | None = None
    """Tests in virtual time give a client of their own; None: the HTTP timing client."""
    make_timer: MakeTimer | None = None
    make_calibration_server: Callable[[str, CalibrationShape], Serving] = ServerThread
    """Serves at a URL; tests in virtual time give another."""
    in_thread: InThread = asyncio.to_thread
    """Runs what takes long beside the event loop."""
    supply: Supply = field(default_factory=SameDisk)
    """Brings what lies on other hosts' disks."""
    observe: Callable[[], dict[str, float]] = dict
    """What the host observes of itself, by name with unit; part of its workers' health."""
    told_to_leave: asyncio.Event = field(default_factory=asyncio.Event)
    """The host has to leave before its time: every service says so, and hands over what it can."""
    services_left: asyncio.Event = field(default_factory=asyncio.Event)
    afterwards: list[Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=list)
    """What is still to be done when the services have left, for as long as guests stay."""
    dismissed: asyncio.Event = field(default_factory=asyncio.Event)
    """A service of the host was told to leave before its time: it is no more than lost."""
    refused: asyncio.Event = field(default_factory=asyncio.Event)
    """The run is over and not as it was required to be: the exit code of a run that nobody started says so, too."""

    @property
    def leaves(self) -> asyncio.Event:
        """By which a service hears that it has to leave. Beside the controller it is the controller that tells it:
        what there is is reported first."""
        return asyncio.Event() if self.host.controls else self.told_to_leave

    def bind(self, channel: str) -> Port:
        addresses = self.layout.bind_addresses(channel)
        gather_s = cadence_of(self.layout).gather_s if channel in ("credits", "columns") else 0.0
        return self.wire.bind(channel_of(channel).pattern, *addresses, bound=self._bound(channel), gather_s=gather_s)

    def connect(self, channel: str, name: str) -> Port:
        address = self.layout.address(channel, self.host.host_id)
        # Of those that connect, the worker manager alone hears from everybody.
        gather_s = cadence_of(self.layout).gather_s if name == ServiceType.WORKER_MANAGER else 0.0
        return self.wire.connect(channel_of(channel).pattern, address, name, self._bound(channel), gather_s)

    def _bound(self, channel: str) -> int:
        return cadence_of(self.layout).column_queue if channel == "columns" else FUNNEL_BOUND_MESSAGES


async def run_service(service: ServiceSeat, around: Surroundings) -> None:
    """Runs one service until it is told to exit.

    A service that fails tells the controller why and is gone; the controller ends the run. Only the failure of the
    controller itself is raised.
    """
    if service.service_type is ServiceType.SYSTEM_CONTROLLER:
        controller = _system_controller(around)
        await run_until_told_to_leave(controller.run(), controller.leave, around.told_to_leave)
        if controller.is_refused:
            around.refused.set()
        around.afterwards.append(controller.turn_away)
        return
    seat = Seat(around.connect("control", service.service_id), service.service_id)
    beating: asyncio.Task[None] | None = None
    try:
        made = _MAKERS[service.service_type](service, seat, around)
        register(seat)
        interval_s = cadence_of(around.layout).heartbeat_interval_s
        beating = asyncio.create_task(keep_in_touch(seat, around.clock, made.health, interval_s))
        await run_until_told_to_leave(made.running, lambda: made.leave(lambda: say_farewell(seat)), around.leaves)
    except DismissedError as dismissed:
        log.warning("%s leaves before its time: %s", service.service_id, dismissed)
        around.dismissed.set()
    except AIPerfError as error:
        log.error("%s: %s", service.service_id, error)
        seat.send(ServiceFailed(service.service_id, str(error), int(error.exit_code)))
    except OSError as error:  # a full disk, a folder that was removed, no file descriptor left
        log.critical("%s:\n%s", service.service_id, traceback.format_exc())
        reason = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror or error)
        seat.send(ServiceFailed(service.service_id, reason, int(ExitCode.INFRASTRUCTURE)))
    except Exception as error:  # noqa: BLE001 (the outer edge of a service: a bug is written down, then ends the run)
        log.critical("%s:\n%s", service.service_id, traceback.format_exc())
        seat.send(ServiceFailed(service.service_id, f"a bug in aiperf: {error!r}", int(ExitCode.BUG)))
    finally:
        if beating is not None:
            beating.cancel()


async def _leave_at_once(say_farewell: Callable[[], None]) -> None:
    say_farewell()


@dataclass(frozen=True, slots=True)
class Made:
    """A service ready to run."""

    running: Coroutine[Any, Any, None]
    health: Callable[[], dict[str, float]] = dict
    leave: Callable[[Callable[[], None]], Awaitable[None]] = _leave_at_once
    """What it does when its host has to leave before its time; it calls its argument to tell the controller."""


def _system_controller(around: Surroundings) -> SystemController:
    clock, plan = around.clock, around.plan
    schedule = phases(plan, around.layout.random_seed)
    return SystemController(
        hub=Hub(around.bind("control")),
        lifecycle=RunLifecycle(
            around.layout,
            () if plan.calibration.calibrate_only else schedule,
            operator=OPERATOR,
            started_ns=clock.now_ns(),
            min_workers=plan.kubernetes.min_workers,
            model_wait_ns=ns_from_s(_model_wait_s(plan)),
            calibration=_calibration_order(plan, schedule[-1]),
            require_valid=plan.results.require_valid,
        ),
        clock=clock,
    )


def _model_wait_s(plan: Plan) -> float:
    """Without a load there is nothing to wait for."""
    return 0 if plan.calibration.calibrate_only else plan.endpoint.wait_for_model_timeout_s


def _calibration_order(plan: Plan, own_load: PhasePlan) -> CalibrationOrder | None:
    shape = calibration_of(plan)
    if shape is None:
        return None
    speaks_tls = any(url.startswith("https://") for url in plan.endpoint.urls) and not plan.calibration.calibrate_only
    return CalibrationOrder(own_load, shape, (NO_TLS,) if speaks_tls else ())


def _worker_manager(_: ServiceSeat, seat: Seat, around: Surroundings) -> Made:
    silence_limit_s = cadence_of(around.layout).silence_limit_s
    return Made(WorkerManager(seat=seat, clock=around.clock, silence_limit_s=silence_limit_s).run())


def _dataset_manager(_: ServiceSeat, seat: Seat, around: Surroundings) -> Made:
    layout = around.layout
    manager = DatasetManager(
        seat=seat,
        plan=around.plan,
        layout=layout,
        supply=around.supply,
        in_thread=around.in_thread,
    )
    return Made(manager.run())


def _timing_manager(_: ServiceSeat, seat: Seat, around: Surroundings) -> Made:
    manager = TimingManager(
        seat=seat,
        credits=around.bind("credits"),
        clock=around.clock,
        records_manager=ServiceType.RECORDS_MANAGER,
        workers_planned=len(around.layout.services(ServiceType.WORKER)),
        return_interval_s=cadence_of(around.layout).return_interval_s,
        awaits_workers=around.layout.replaces_workers,
    )
    return Made(manager.run())


def _records_manager(_: ServiceSeat, seat: Seat, around: Surroundings) -> Made:
    manager = RecordsManager(
        seat=seat,
        columns=around.bind("columns"),
        layout=around.layout,
        plan=around.plan,
        clock=around.clock,
        in_thread=around.in_thread,
        supply=around.supply,
    )
    return Made(manager.run())


def _record_processor(service: ServiceSeat, seat: Seat, around: Surroundings) -> Made:
    plan, layout = around.plan, around.layout

    def make_pipeline(configure: Configure) -> tuple[RecordAssembler, ShardOutlet]:
        store = Store.open(Path(configure.dataset_path))
        counter = LazyTokenCounter(configure.tokenizer_source)
        assembler = RecordAssembler(
            dialect=DIALECTS[plan.endpoint.endpoint_type],
            streaming=plan.endpoint.streaming,
            entry_tokens=lambda entry: (store.isl_tokens(entry), store.requested_osl(entry)),
            count_tokens=counter.count,
            token_policy=_token_policy(plan),
            keep_chunks=plan.results.export_level == "raw",
        )
        objectives = objectives_of(plan.results.goodput)
        return assembler, ShardOutlet(service.service_id, layout, plan, configure, store, objectives)

    processor = RecordProcessor(
        seat=seat,
        slices=around.bind(f"records/{service.service_id}"),
        columns=around.connect("columns", service.service_id),
        make_pipeline=make_pipeline,
        supply=around.supply,
        batch_interval_s=cadence_of(layout).column_interval_s,
        shape=calibration_of(plan),
    )
    return Made(processor.run(), leave=processor.leave)


class LazyTokenCounter:
    """Opens the tokenizer when the first text is to be counted: most runs have the server's counts and never do."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokenizer: Tokenizer | None = None

    def count(self, texts: Sequence[str]) -> list[int]:
        if self._tokenizer is None:
            self._tokenizer = open_tokenizer(self._source)
        return self._tokenizer.count(texts)


def _token_policy(plan: Plan) -> TokenPolicy:
    """Who counts output tokens: `--use-server-token-count` or `--tokenizer` say so, else the server is preferred."""
    if plan.endpoint.use_server_token_count:
        return TokenPolicy.SERVER_ONLY
    return TokenPolicy.TOKENIZER_ONLY if plan.tokenizer.tokenizer is not None else TokenPolicy.SERVER_PREFERRED


def _worker(service: ServiceSeat, seat: Seat, around: Surroundings) -> Made:
    plan, layout = around.plan, around.layout
    endpoint = plan.endpoint
    targets, calibration = endpoint_targets(plan), calibration_targets(plan, layout)

    def make_client(sink: Sink) -> Client:
        assert isinstance(around.clock, RunClock)
        settings = ClientSettings(
            timestamps=plan.services.timestamps,
            selector=plan.services.selector,
            request_timeout_s=endpoint.request_timeout_s,
            reuse=endpoint.connection_reuse,
            connects_per_s=_connects_per_s(plan, len(layout.services(ServiceType.WORKER))),
            source_addresses=source_addresses(endpoint.source_addresses),
            port_share=_port_share(service, around),
            keep_response_heads=plan.results.export_level == "raw",
        )
        return HttpClient(clock=around.clock, sink=sink, targets=[*targets, *calibration], settings=settings)

    def make_timer(callback: Callable[[], None]) -> Timer:
        assert isinstance(around.clock, RunClock)
        return DueTimer(asyncio.get_running_loop(), around.clock, callback)

    async def wait_for_model(body: bytes) -> None:
        await _model_probe(seat, around, around.make_client or make_client).until_model_answers(body)

    worker = Worker(
        seat=seat,
        run_id=layout.run_id,
        seed=layout.random_seed,
        sampling=plan.input.sampling or "sequential",
        heads=[endpoint_head(plan, target) for target in targets],
        calibration_heads=[calibration_head(plan, target) for target in calibration],
        credits=around.connect("credits", service.service_id),
        connect_records=records_channel(
            around.wire, lambda channel: layout.address(channel, around.host.host_id), service.service_id
        ),
        slots_max=around.connections_max,
        return_interval_s=cadence_of(layout).return_interval_s,
        clock=around.clock,
        make_client=around.make_client or make_client,
        make_timer=around.make_timer or make_timer,
        data_dir=Path(layout.data_dir),
        supply=around.supply,
        wait_for_model=wait_for_model,
        observe=around.observe,
    )
    return Made(worker.run(), worker.health, worker.leave)


def _connects_per_s(plan: Plan, workers: int) -> float | None:
    """A worker's share of the pace at which connections are opened; None: no bound."""
    endpoint = plan.endpoint
    if endpoint.connect_rate is None and endpoint.connection_reuse == "never":
        return None  # Each request opens one: the load's own pace is the one that was asked for.
    return (endpoint.connect_rate or CONNECTS_PER_S) / workers


def _port_share(service: ServiceSeat, around: Surroundings) -> PortShare:
    """A worker's place among those of its machine, which share the local ports; a lost one's heir takes its place."""
    ids = [seat.service_id for seat in around.layout.neighbours(around.host.host_id, ServiceType.WORKER)]
    return PortShare(ids.index(seat_of(service.service_id)[0]), len(ids))


def _calibration_server(service: ServiceSeat, seat: Seat, around: Surroundings) -> Made:
    shape, layout = calibration_of(around.plan), around.layout
    assert shape is not None
    place, _ = seat_of(service.service_id)
    names = [each.service_id for each in layout.services(ServiceType.CALIBRATION_SERVER)]
    server = around.make_calibration_server(layout.calibration_urls[names.index(place)], shape)
    return Made(CalibrationServer(seat, server).run())


def _model_probe(seat: Seat, around: Surroundings, make_client: MakeClient) -> ModelProbe:
    plan, endpoint = around.plan, around.plan.endpoint
    # A URL may be given with the path of its dialect; the list of models stands beside that.
    bases = [url.removesuffix(inference_path(plan)) for url in endpoint.urls]
    return ModelProbe(
        seat=seat,
        clock=around.clock,
        run_id=around.layout.run_id,
        mode=endpoint.wait_for_model_mode,
        timeout_s=endpoint.wait_for_model_timeout_s,
        urls=endpoint.urls,
        models=endpoint.models,
        heads={
            Topic.INFERENCE: [endpoint_head(plan, target) for target in endpoint_targets(plan)],
            Topic.MODELS: [endpoint_head(plan, Target.from_url(base, MODELS_PATH), "GET") for base in bases],
        },
        dialect=DIALECTS[endpoint.endpoint_type],
        streaming=endpoint.streaming,
        make_client=make_client,
    )


_MAKERS: dict[ServiceType, Callable[[ServiceSeat, Seat, Surroundings], Made]] = {
    ServiceType.WORKER_MANAGER: _worker_manager,
    ServiceType.DATASET_MANAGER: _dataset_manager,
    ServiceType.TIMING_MANAGER: _timing_manager,
    ServiceType.RECORDS_MANAGER: _records_manager,
    ServiceType.RECORD_PROCESSOR: _record_processor,
    ServiceType.WORKER: _worker,
    ServiceType.CALIBRATION_SERVER: _calibration_server,
}
