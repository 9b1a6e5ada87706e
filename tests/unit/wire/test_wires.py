"""The promises of a wire, kept by the real one and by its in-memory double alike."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from aiperf.errors import InfrastructureError
from aiperf.wire.bus import CONTROLLER, Hub, Seat
from aiperf.wire.memory_wire import MemoryWire
from aiperf.wire.messages import Exit, ServiceReady
from aiperf.wire.ports import FUNNEL_BOUND_MESSAGES, Pattern, Wire
from aiperf.wire.zmq_wire import ZmqWire

WITHIN_S = 10


@pytest.fixture(params=[MemoryWire, ZmqWire])
async def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    wire = request.param()
    yield wire
    wire.close()


@pytest.fixture
def address(tmp_path) -> str:
    return f"ipc://{tmp_path}/a"


async def soon(awaitable):
    return await asyncio.wait_for(awaitable, WITHIN_S)


async def sent(send) -> None:
    """Repeats `send` until the wire takes it: a peer that has just connected is not reachable at once."""
    async with asyncio.timeout(WITHIN_S):
        while not send():
            await asyncio.sleep(0.005)


async def test_a_dialogue_goes_both_ways_and_names_the_connector(wire, address):
    binder, connector = wire.bind(Pattern.DIALOGUE, address), wire.connect(Pattern.DIALOGUE, address, "w")
    connector.send([b"hello", b"there"])
    assert await soon(binder.receive()) == ("w", [b"hello", b"there"])
    assert binder.send([b"answer"], "w")
    assert await soon(connector.receive()) == ("", [b"answer"])


async def test_the_binder_may_come_after_the_connector(wire, address):
    connector = wire.connect(Pattern.DIALOGUE, address, "w")
    connector.send([b"early"])
    binder = wire.bind(Pattern.DIALOGUE, address)
    assert await soon(binder.receive()) == ("w", [b"early"])


async def test_nobody_of_that_name_is_a_refusal_not_silence(wire, address):
    assert not wire.bind(Pattern.DIALOGUE, address).send([b"x"], "nobody")


async def test_a_binder_serves_several_addresses(wire, tmp_path):
    near, far = f"inproc://{tmp_path.name}", f"ipc://{tmp_path}/far"
    binder = wire.bind(Pattern.DIALOGUE, near, far)
    for name, address in (("n", near), ("f", far)):
        connector = wire.connect(Pattern.DIALOGUE, address, name)
        connector.send([b"x"])
        assert (await soon(binder.receive()))[0] == name
        assert binder.send([name.encode()], name)
        assert await soon(connector.receive()) == ("", [name.encode()])


async def test_a_funnel_keeps_the_order_of_each_sender(wire, address):
    binder = wire.bind(Pattern.FUNNEL, address)
    ports = [wire.connect(Pattern.FUNNEL, address, name) for name in "ab"]
    for number in range(20):
        for port, name in zip(ports, (b"a", b"b"), strict=True):
            await sent(lambda port=port, name=name, number=number: port.send([name, b"%d" % number]))
    got = [(await soon(binder.receive()))[1] for _ in range(40)]
    for name in (b"a", b"b"):
        assert [int(number) for sender, number in got if sender == name] == list(range(20))


async def test_a_funnel_refuses_when_its_receiver_is_too_far_behind_and_loses_nothing(wire, address):
    binder, port = wire.bind(Pattern.FUNNEL, address), wire.connect(Pattern.FUNNEL, address, "w")
    await sent(lambda: port.send([b"0"]))
    await soon(binder.receive())
    # ZeroMQ moves messages on in the background, and the kernel holds some: so the refusal comes after a while.
    big = bytes(100_000)
    taken = 0
    async with asyncio.timeout(WITHIN_S):
        refusals = 0
        while refusals < 20:
            if port.send([b"%d" % taken, big]):
                taken += 1
                refusals = 0
            else:
                refusals += 1
                await asyncio.sleep(0.01)
    assert FUNNEL_BOUND_MESSAGES <= taken < 1_000
    assert [int((await soon(binder.receive()))[1][0]) for _ in range(taken)] == list(range(taken))


async def test_an_address_that_cannot_be_bound_is_named():
    wire = ZmqWire()
    with pytest.raises(InfrastructureError, match="/nowhere/at/all"):
        wire.bind(Pattern.DIALOGUE, "ipc:///nowhere/at/all")
    wire.close()


async def test_services_talk_to_each_other_by_way_of_the_hub(wire, address):
    hub = Hub(wire.bind(Pattern.DIALOGUE, address))
    one, two = (Seat(wire.connect(Pattern.DIALOGUE, address, name), name) for name in ("one", "two"))
    two.send(Exit())
    assert await soon(hub.receive()) == ("two", Exit())
    one.send(ServiceReady("one"), to="two")
    one.send(Exit())
    assert await soon(hub.receive()) == ("one", Exit())
    assert await soon(two.receive()) == ("one", ServiceReady("one"))
    assert hub.send(Exit(), "one")
    assert await soon(one.receive()) == (CONTROLLER, Exit())


async def test_what_nobody_receives_yet_does_not_keep_the_event_loop_busy(wire, address):
    binder, port = wire.bind(Pattern.FUNNEL, address), wire.connect(Pattern.FUNNEL, address, "w")
    # Enough that the receiver's acknowledgement reaches the sender, which has nothing more to send.
    for number in range(FUNNEL_BOUND_MESSAGES):
        await sent(lambda number=number: port.send([b"%d" % number]))
        await soon(binder.receive())
    await sent(lambda: port.send([b"left alone"]))
    before_s = time.process_time()
    await asyncio.sleep(0.5)
    # A loop that spins on a readable descriptor spends all of the time it gets.
    assert time.process_time() - before_s < 0.1


async def test_what_is_gathered_arrives_in_order_while_the_same_port_sends(wire, address):
    binder = wire.bind(Pattern.DIALOGUE, address, gather_s=0.01)
    port = wire.connect(Pattern.DIALOGUE, address, "w")
    for number in range(20):
        await sent(lambda number=number: port.send([b"%d" % number]))
    got = []
    for _ in range(20):
        name, (frame,) = await soon(binder.receive())
        await sent(lambda name=name, frame=frame: binder.send([frame], name))
        got.append(int(frame))
    assert got == list(range(20))
    assert [int((await soon(port.receive()))[1][0]) for _ in range(20)] == got
    # What comes while nothing else does, and after a wait that was given up, is received, too.
    for number in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await binder.receive()
        port.send([b"%d" % number])
        binder.send([b"meanwhile"], "w")
        assert await soon(binder.receive()) == ("w", [b"%d" % number])
