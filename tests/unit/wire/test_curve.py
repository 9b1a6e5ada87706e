"""Real ZeroMQ over an address that counts as exposed: who is let in, and who is not."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest
import zmq
from tests.ports import free_port

from aiperf.errors import InfrastructureError
from aiperf.wire.curve import WireKeys, from_json, make_wire_keys, to_json
from aiperf.wire.ports import Pattern
from aiperf.wire.zmq_wire import ZmqWire

WITHIN_S = 10
HEARD_NOTHING_S = 0.5
"""How long an outsider listens. A member is served in some milliseconds."""


def free_address() -> str:
    """On loopback in fact, yet not the one address that counts as such."""
    return f"tcp://127.0.0.2:{free_port('127.0.0.2')}"


@pytest.fixture
def keys() -> WireKeys:
    return make_wire_keys()


@pytest.fixture
def address() -> str:
    return free_address()


@pytest.fixture
async def wire(keys: WireKeys) -> Iterator[ZmqWire]:
    wire = ZmqWire(keys)
    yield wire
    wire.close()


class Outsider:
    """Speaks ZeroMQ, knows the address and the protocol, and has other keys or none."""

    def __init__(self, context: zmq.Context, keys: WireKeys | None, server_key: str) -> None:
        self._context = context
        self._keys = keys
        self._server_key = server_key
        self._made: list[zmq.Socket] = []

    def socket(self, kind: int) -> zmq.Socket:
        made = self._context.socket(kind)
        self._made.append(made)
        made.setsockopt(zmq.IDENTITY, b"worker-0")
        if self._keys is not None:
            made.curve_publickey, made.curve_secretkey = self._keys.public.encode(), self._keys.secret.encode()
            made.curve_serverkey = self._server_key.encode()
        return made

    def listening_socket(self, kind: int) -> zmq.Socket:
        made = self.socket(kind)
        if self._keys is not None:
            made.curve_server = 1
        return made

    def close(self) -> None:
        for made in self._made:
            made.close(0)
        self._context.term()


@pytest.fixture(params=["no keys", "other keys", "other keys, knows the public one"])
def outsider(request, keys) -> Iterator[Outsider]:
    other = make_wire_keys()
    server_key = keys.public if "knows" in request.param else other.public
    made = Outsider(zmq.Context(), None if request.param == "no keys" else other, server_key)
    yield made
    made.close()


async def soon(awaitable):
    return await asyncio.wait_for(awaitable, WITHIN_S)


async def taken(send) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not send():
            await asyncio.sleep(0.005)


async def is_silent(receiving) -> bool:
    try:
        await asyncio.wait_for(receiving, HEARD_NOTHING_S)
    except TimeoutError:
        return True
    return False


async def test_every_pattern_works_with_the_keys(wire, address):
    binder = wire.bind(Pattern.DIALOGUE, address)
    member = wire.connect(Pattern.DIALOGUE, address, "w")
    member.send([b"hello"])
    assert await soon(binder.receive()) == ("w", [b"hello"])
    assert binder.send([b"answer"], "w")
    assert await soon(member.receive()) == ("", [b"answer"])

    funnel = free_address()
    reader, writer = wire.bind(Pattern.FUNNEL, funnel), wire.connect(Pattern.FUNNEL, funnel, "w")
    await taken(lambda: writer.send([b"x", bytes(500_000)]))
    assert await soon(reader.receive()) == ("", [b"x", bytes(500_000)])


async def test_members_meet_across_processes(wire, address, keys):
    """Each process has a context, and so a gate, of its own."""
    binder, other = wire.bind(Pattern.DIALOGUE, address), ZmqWire(keys)
    other.connect(Pattern.DIALOGUE, address, "w").send([b"hello"])
    assert await soon(binder.receive()) == ("w", [b"hello"])
    other.close()


async def test_one_port_serves_members_in_the_process_and_beyond(wire, address):
    near = "inproc://near"
    binder = wire.bind(Pattern.DIALOGUE, near, address)
    for name, place in (("n", near), ("f", address)):
        member = wire.connect(Pattern.DIALOGUE, place, name)
        member.send([b"x"])
        assert await soon(binder.receive()) == (name, [b"x"])
        assert binder.send([b"y"], name)
        assert await soon(member.receive()) == ("", [b"y"])


async def test_an_outsider_cannot_join(wire, address, outsider):
    """Not even be addressed: to the binder nobody of that name is there."""
    binder = wire.bind(Pattern.DIALOGUE, address)
    intruder = outsider.socket(zmq.DEALER)
    intruder.connect(address)
    intruder.send(b"let me in")
    assert await is_silent(binder.receive())
    assert not binder.send([b"for the worker of that name"], "worker-0")
    assert intruder.poll(0) == 0


async def test_an_outsider_cannot_inject(wire, address, outsider):
    reader, writer = wire.bind(Pattern.FUNNEL, address), wire.connect(Pattern.FUNNEL, address, "w")
    intruder = outsider.socket(zmq.PUSH)
    intruder.connect(address)
    await taken(lambda: writer.send([b"true"]))
    assert await soon(reader.receive()) == ("", [b"true"])
    for _ in range(100):  # they stay on its own side; once the gate has spoken, libzmq takes none at all
        with contextlib.suppress(zmq.Again):
            intruder.send(b"false", zmq.NOBLOCK)
    assert await is_silent(reader.receive())


async def test_an_outsider_in_the_binders_place_cannot_read(wire, address, outsider):
    listening = outsider.listening_socket(zmq.PULL)
    listening.bind(address)
    writer = wire.connect(Pattern.FUNNEL, address, "w")
    writer.send([b"a secret"])
    await asyncio.sleep(HEARD_NOTHING_S)
    assert listening.poll(0) == 0


async def test_an_outsider_does_not_keep_members_out(wire, address, outsider):
    binder = wire.bind(Pattern.DIALOGUE, address)
    intruder = outsider.socket(zmq.DEALER)
    intruder.connect(address)
    intruder.send(b"let me in")
    assert await is_silent(binder.receive())
    wire.connect(Pattern.DIALOGUE, address, "worker-0").send([b"hello"])
    assert await soon(binder.receive()) == ("worker-0", [b"hello"])


async def test_nothing_crosses_the_network_in_the_clear(wire, address):
    """A relay between the two sees what a wire-tap sees."""
    seen = bytearray()
    host, port = address.removeprefix("tcp://").split(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ahead_reader, ahead_writer = await asyncio.open_connection(host, int(port))

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                seen.extend(data)
                sink.write(data)
            sink.close()

        await asyncio.gather(pass_on(reader, ahead_writer), pass_on(ahead_reader, writer))

    binder = wire.bind(Pattern.DIALOGUE, address)
    async with await asyncio.start_server(relay, "127.0.0.3", 0) as server:
        tapped = f"tcp://127.0.0.3:{server.sockets[0].getsockname()[1]}"
        port_of_member = wire.connect(Pattern.DIALOGUE, tapped, "a name")
        port_of_member.send([b"the endpoint's key"])
        assert await soon(binder.receive()) == ("a name", [b"the endpoint's key"])
        assert binder.send([b"an answer"], "a name")
        await soon(port_of_member.receive())
        port_of_member.close()
        binder.close()
        await asyncio.sleep(0.1)
    assert b"CURVE" in seen
    for words in (b"the endpoint's key", b"an answer", b"a name"):
        assert words not in seen


async def test_without_keys_no_exposed_address_is_used(address):
    wire = ZmqWire()
    with pytest.raises(InfrastructureError, match=r"127\.0\.0\.2.* no wire keys"):
        wire.bind(Pattern.DIALOGUE, "inproc://near", address)
    with pytest.raises(InfrastructureError, match=r"127\.0\.0\.2.* no wire keys"):
        wire.connect(Pattern.DIALOGUE, address, "w")
    wire.close()


async def test_loopback_needs_no_keys():
    """The containers of a pod meet there."""
    address = f"tcp://127.0.0.1:{free_port()}"
    with_keys, without = ZmqWire(make_wire_keys()), ZmqWire()
    binder = with_keys.bind(Pattern.FUNNEL, address)
    writer = without.connect(Pattern.FUNNEL, address, "w")
    await taken(lambda: writer.send([b"x"]))
    assert await soon(binder.receive()) == ("", [b"x"])
    without.close()
    with_keys.close()


async def test_a_name_is_looked_up_and_a_wrong_one_harms_nobody_else(wire):
    number = free_port("")
    nowhere = wire.connect(Pattern.DIALOGUE, "tcp://no-such-name.invalid:1", "w")
    nowhere.send([b"x"])
    binder = wire.bind(Pattern.DIALOGUE, f"tcp://*:{number}")
    wire.connect(Pattern.DIALOGUE, f"tcp://localhost:{number}", "w").send([b"hello"])
    assert await soon(binder.receive()) == ("w", [b"hello"])


async def test_closing_is_quick_with_members_outsiders_and_nobody_connected(keys, address):
    wire, context = ZmqWire(keys), zmq.Context()
    wire.bind(Pattern.DIALOGUE, "inproc://near", address)
    wire.connect(Pattern.DIALOGUE, address, "w")
    wire.connect(Pattern.FUNNEL, free_address(), "w")
    stranger = context.socket(zmq.DEALER)
    stranger.connect(address)
    await asyncio.sleep(0.1)
    began_s = time.monotonic()
    wire.close()
    # Nothing is left to hand over, so not even the time for last messages is used up.
    assert time.monotonic() - began_s < 1.5
    stranger.close(0)
    context.term()
    second = ZmqWire(keys)
    second.bind(Pattern.DIALOGUE, address)  # the place is free again
    second.close()


def test_keys_survive_their_file_and_the_secret_is_not_printed(keys):
    assert from_json(to_json(keys)) == keys
    assert keys.secret not in repr(keys)
    assert make_wire_keys() != keys


@pytest.mark.parametrize("data", [b"", b"{}", b'{"public": "x", "secret": "sssh"}'])
def test_a_file_without_keys_is_refused_and_not_quoted(data):
    with pytest.raises(InfrastructureError) as refused:
        from_json(data)
    assert "sssh" not in str(refused.value)


def test_a_pair_that_does_not_match_is_refused(keys):
    with pytest.raises(InfrastructureError, match="no pair"):
        from_json(to_json(WireKeys(make_wire_keys().public, keys.secret)))
