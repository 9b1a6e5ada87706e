"""A host puts its clock on the controller's scale, over a wire in memory."""

import asyncio
import itertools

import msgspec
import pytest

from aiperf.clock import RunClock
from aiperf.deploy.layouts import local_layout
from aiperf.errors import InfrastructureError
from aiperf.service import clock_alignment
from aiperf.service.cadence import Cadence
from aiperf.service.clock_alignment import align_clock
from aiperf.service.clock_offset import PROBES_MIN
from aiperf.service.layout import Layout, ServiceType
from aiperf.service.run_lifecycle import RunLifecycle
from aiperf.service.system_controller import SystemController
from aiperf.units import NS_PER_MS, NS_PER_S
from aiperf.wire.bus import Hub
from aiperf.wire.memory_wire import MemoryWire
from aiperf.wire.messages import ClockProbe, ClockReply
from aiperf.wire.ports import Pattern

WITHIN_S = 10
CLOSE_NS = 100 * NS_PER_MS
HOUR_NS = 3_600 * NS_PER_S


@pytest.fixture
def wire():
    wire = MemoryWire()
    yield wire
    wire.close()


@pytest.fixture
def layout(tmp_path) -> Layout:
    """Of hosts with clocks of their own."""
    made = local_layout(run_id="r", workers=1, processors=1, artifact_dir=tmp_path, work_dir=tmp_path, seed=1)
    return msgspec.structs.replace(made, anchor_ns=0)


def hub_of(wire: MemoryWire, layout: Layout) -> Hub:
    return Hub(wire.bind(Pattern.DIALOGUE, *layout.bind_addresses("control")))


@pytest.fixture
async def controller(wire, layout):
    """The real one, whose clock is the machine's."""
    clock = RunClock()
    lifecycle = RunLifecycle(layout, [], operator="operator", started_ns=clock.now_ns())
    running = asyncio.create_task(SystemController(hub=hub_of(wire, layout), lifecycle=lifecycle, clock=clock).run())
    yield clock
    running.cancel()


def apart_by(offset_ns: int) -> RunClock:
    clock = RunClock()
    clock.adopt(offset_ns)
    return clock


async def test_a_host_takes_on_the_controllers_scale(wire, layout, controller):
    clock = apart_by(HOUR_NS)
    keeper = await asyncio.wait_for(align_clock(wire, layout, layout.host("worker-0"), clock), WITHIN_S)
    seen = keeper.observations()
    assert abs(clock.now_ns() - controller.now_ns()) < CLOSE_NS
    assert abs(clock.anchor_ns - controller.anchor_ns) <= seen["clock_uncertainty_ns"]
    assert abs(seen["clock_offset_ns"] + HOUR_NS) < CLOSE_NS
    assert "clock_drift_ns" not in seen


async def test_drift_is_reported_and_moves_nothing(wire, layout, controller, monkeypatch):
    monkeypatch.setattr(clock_alignment, "cadence_of", lambda _: Cadence(clock_watch_interval_s=0.01))
    clock = RunClock()
    keeper = await asyncio.wait_for(align_clock(wire, layout, layout.host("worker-0"), clock), WITHIN_S)
    controller.adopt(-HOUR_NS)
    anchor_ns = clock.anchor_ns
    watching = asyncio.create_task(keeper.watch())
    async with asyncio.timeout(WITHIN_S):
        while "clock_drift_ns" not in keeper.observations():
            await asyncio.sleep(0.01)
    watching.cancel()
    seen = keeper.observations()
    assert abs(seen["clock_drift_ns"] + HOUR_NS) < CLOSE_NS
    assert seen["clock_drift_uncertainty_ns"] < CLOSE_NS
    assert clock.anchor_ns == anchor_ns


async def test_hosts_that_share_the_controllers_clock_ask_nothing(wire, layout):
    shared = msgspec.structs.replace(layout, anchor_ns=1)
    for host, of in ((layout.host_of(ServiceType.SYSTEM_CONTROLLER), layout), (layout.host("worker-0"), shared)):
        clock = RunClock()
        anchor_ns = clock.anchor_ns
        keeper = await asyncio.wait_for(align_clock(wire, of, host, clock), WITHIN_S)  # nobody would answer
        assert clock.anchor_ns == anchor_ns
        assert keeper.observations() == {}


async def test_the_controller_may_come_later_and_probes_may_be_lost(wire, layout, monkeypatch):
    monkeypatch.setattr(clock_alignment, "PATIENCE_FIRST_S", 0.01)
    aligning = asyncio.create_task(align_clock(wire, layout, layout.host("worker-0"), RunClock()))
    await asyncio.sleep(0.05)
    hub, answered = hub_of(wire, layout), 0

    async def answer_some() -> None:
        nonlocal answered
        for number in itertools.count():
            sender, probe = await hub.receive()
            assert sender == "clock/worker-0"
            assert isinstance(probe, ClockProbe)
            if number % 3:
                hub.send(ClockReply(probe.sent_ns - 1, 0, 0), sender)  # a late answer to another probe
                hub.send(ClockReply(probe.sent_ns, probe.sent_ns, probe.sent_ns), sender)
                answered += 1

    answering = asyncio.create_task(answer_some())
    keeper = await asyncio.wait_for(aligning, WITHIN_S)
    answering.cancel()
    assert answered >= PROBES_MIN
    assert abs(keeper.observations()["clock_offset_ns"]) < CLOSE_NS


async def test_a_host_that_comes_when_the_run_is_over_is_told_so(wire, layout):
    clock = RunClock()
    lifecycle = RunLifecycle(layout, [], operator="operator", started_ns=clock.now_ns())
    controller = SystemController(hub=hub_of(wire, layout), lifecycle=lifecycle, clock=clock)
    turning_away = asyncio.create_task(controller.turn_away())
    aligning = align_clock(wire, layout, layout.host("worker-0"), RunClock())
    assert await asyncio.wait_for(aligning, WITHIN_S) is None
    turning_away.cancel()


async def test_a_controller_that_never_answers_is_named_in_the_end(wire, layout, monkeypatch):
    monkeypatch.setattr(clock_alignment, "REACH_LIMIT_S", 0.05)
    with pytest.raises(InfrastructureError, match=r"worker-0: no answer from the system controller at ipc://.*control"):
        await align_clock(wire, layout, layout.host("worker-0"), RunClock())
