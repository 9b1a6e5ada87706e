"""A local port that leads into a pod: frames both ways, and what becomes of connections whose tunnel fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from aiperf.deploy.kubernetes.port_forward import SUBPROTOCOL, PortForward
from aiperf.deploy.kubernetes.session import Transport

PORT = (8443).to_bytes(2, "little")


class FakeCluster:
    def __init__(self, server: str) -> None:
        self.server, self.token = server, "old"

    async def transport(self) -> Transport:
        return Transport(self.server, {"Authorization": f"Bearer {self.token}"}, None, None, None)

    async def log_in_again(self) -> None:
        self.token = "new"


async def pod() -> str:
    return "controller-x"


@pytest.fixture
async def forward_to() -> AsyncIterator[Callable[..., Any]]:
    """A factory: a forward through an API server whose tunnels are handled, and refused, as told."""
    servers: list[Server] = []
    forwards: list[PortForward] = []

    async def make(handle: Any, refuse: Callable[[Request], int] = lambda _: 0) -> PortForward:
        def gate(connection: ServerConnection, request: Request) -> Response | None:
            status = refuse(request)
            return connection.respond(status, "{}") if status else None

        server = await serve(handle, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL], process_request=gate, compression=None)
        servers.append(server)
        cluster: Any = FakeCluster(f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
        forward = PortForward(cluster, "perf", pod, 8443)
        forwards.append(await forward.__aenter__())
        return forward

    yield make
    for forward in forwards:
        await forward.__aexit__(None, None, None)
    for server in servers:
        server.close()
        await server.wait_closed()


async def begin(tunnel: ServerConnection) -> None:
    for channel in (b"\0", b"\1"):
        await tunnel.send(channel + PORT)


async def echo(tunnel: ServerConnection) -> None:
    await begin(tunnel)
    async for frame in tunnel:
        await tunnel.send(frame)


async def said(forward: PortForward, text: bytes) -> bytes:
    """What comes back for it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", forward.port)
    try:
        writer.write(text)
        return await reader.readexactly(len(text))
    finally:
        writer.close()


async def test_bytes_go_both_ways_without_the_channels(forward_to: Any):
    requests = []
    forward = await forward_to(echo, lambda request: requests.append(request.path))
    assert await said(forward, b"hello") == b"hello"
    assert requests == ["/api/v1/namespaces/perf/pods/controller-x/portforward?ports=8443"]
    assert forward.trouble is None


async def test_a_server_that_restarts_is_waited_for(forward_to: Any):
    statuses = iter([503, 500, 0])
    assert await said(await forward_to(echo, lambda _: next(statuses)), b"hello") == b"hello"


async def test_credentials_that_ran_out_are_renewed(forward_to: Any):
    forward = await forward_to(echo, lambda request: 401 if request.headers["Authorization"] == "Bearer old" else 0)
    assert await said(forward, b"hello") == b"hello"


@pytest.mark.parametrize(("status", "words"), [(403, "you may not create pods/portforward"), (404, "not found")])
async def test_a_refusal_resets_the_connection_and_is_told(forward_to: Any, status: int, words: str):
    forward = await forward_to(echo, lambda _: status)
    with pytest.raises(ConnectionResetError):
        await said(forward, b"hello")
    assert words in str(forward.trouble)


async def test_a_port_that_nothing_listens_on_is_told(forward_to: Any):
    async def refuse(tunnel: ServerConnection) -> None:
        await begin(tunnel)
        await tunnel.send(b"\1error forwarding port 8443: dial tcp4 127.0.0.1:8443: connect: connection refused")

    forward = await forward_to(refuse)
    with pytest.raises(ConnectionResetError):
        await said(forward, b"hello")
    assert str(forward.trouble) == "nothing listens on the pod's port 8443"


async def test_a_tunnel_that_breaks_is_no_orderly_end(forward_to: Any):
    async def break_off(tunnel: ServerConnection) -> None:
        await begin(tunnel)
        await tunnel.send(b"\0half")
        await tunnel.recv()
        tunnel.transport.abort()

    forward = await forward_to(break_off)
    reader, writer = await asyncio.open_connection("127.0.0.1", forward.port)
    assert await reader.readexactly(4) == b"half"
    writer.write(b"now")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_an_orderly_end_is_one(forward_to: Any):
    async def end(tunnel: ServerConnection) -> None:
        await begin(tunnel)
        await tunnel.send(b"\0all")

    reader, writer = await asyncio.open_connection("127.0.0.1", (await forward_to(end)).port)
    assert await reader.read() == b"all"
    writer.close()
