"""A local port that leads to a port of a pod, through the API server.

Owns: the listening socket, a tunnel for each connection made to it. Does not own: which pod, what flows.

Each connection gets a WebSocket of its own (subprotocol `v4.channel.k8s.io`: frames begin with a channel's number, 0
for data, 1 for errors; the first frame of each names the port). So a tunnel that breaks costs one connection, and the
next one finds its way anew: to an API server that has restarted, with credentials that were renewed. kr8s' own
forwarding is not used: it puts every frame through a WebSocket in Python (docs/decisions/0042-cluster-client.md has the
figures), and one that breaks while it is opened is not begun anew.

Source: Kubernetes, `kubelet/pkg/cri/streaming/portforward/websocket.go`.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.refusals import Request, is_transient, refusal, unreachable
from aiperf.deploy.kubernetes.resources import RESOURCES
from aiperf.errors import ClusterError

SUBPROTOCOL = Subprotocol("v4.channel.k8s.io")
READ_BYTES = 256 << 10
OPEN_PATIENCE_S = 15.0
"""Below the silence after which a client gives its connection up (`aiperf.api.connection`)."""
OPEN_TIMEOUT_S = 5.0
_DATA, _ERROR = 0, 1


class PortForward:
    """`async with PortForward(…) as forward:` `forward.port` of 127.0.0.1 leads to the pod."""

    def __init__(self, cluster: Cluster, namespace: str, pod: Callable[[], Awaitable[str]], port: int) -> None:
        """`pod` gives the pod's name whenever a tunnel is opened."""
        self._cluster = cluster
        self._namespace = namespace
        self._pod = pod
        self._pod_port = port
        self._tunnels: set[asyncio.Task[None]] = set()
        self.trouble: ClusterError | None = None
        """Why the last connection came to nothing; None if it did not."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=READ_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for tunnel in list(self._tunnels):
            tunnel.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = asyncio.create_task(self._serve(reader, writer))
        self._tunnels.add(tunnel)
        tunnel.add_done_callback(self._tunnels.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # A broken tunnel is the end of this connection; whoever made it sees that, and makes another.
            with contextlib.suppress(OSError, WebSocketException, ClusterError):
                async with await self._open() as socket:
                    self.trouble = None
                    ends = [asyncio.create_task(work) for work in (_up(reader, socket), self._down(socket, writer))]
                    try:
                        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for end in ends:
                            end.cancel()
                        await asyncio.gather(*ends, return_exceptions=True)
        finally:
            writer.close()

    async def _open(self) -> ClientConnection:
        """A tunnel. Raises: ClusterError, kept as `trouble`."""
        deadline_s = time.monotonic() + OPEN_PATIENCE_S
        pause_s, logged_in = 0.05, False
        while True:
            try:
                return await self._try_open()
            except InvalidStatus as error:
                status, request = error.response.status_code, Request("create", "pods/portforward", self._namespace)
                failure = refusal(request, status, {}, self._cluster.server)
                again = is_transient(status, "") or status in (404, 500)  # a pod that is just being made
                if status == 401 and not logged_in:
                    logged_in = again = True
                    await self._cluster.log_in_again()
            except (OSError, TimeoutError, InvalidHandshake) as error:
                failure, again = unreachable(self._cluster.server, error), True
            except ClusterError as error:
                failure, again = error, False
            if not again or time.monotonic() + pause_s > deadline_s:
                self.trouble = failure
                raise failure
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 1.0)

    async def _try_open(self) -> ClientConnection:
        transport = await self._cluster.transport()
        path = RESOURCES["Pod"].path(self._namespace, await self._pod(), "portforward")
        tls: dict[str, Any] = (
            {} if transport.tls is None else {"ssl": transport.tls, "server_hostname": transport.tls_server_name}
        )
        return await connect(
            f"{transport.server.replace('http', 'ws', 1)}{path}?ports={self._pod_port}",
            subprotocols=[SUBPROTOCOL],
            additional_headers=dict(transport.headers),
            proxy=transport.proxy or True,
            # Most of it is compressed and encrypted already.
            compression=None,
            max_size=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=1,
            # A client that reads slowly holds back pongs as well; silence is the client's own matter.
            ping_interval=None,
            **tls,
        )

    async def _down(self, socket: ClientConnection, writer: asyncio.StreamWriter) -> None:
        begun: set[int] = set()
        async for frame in socket:
            if not isinstance(frame, bytes) or not frame:
                continue
            channel = frame[0]
            if channel not in begun:  # names the port
                begun.add(channel)
            elif channel == _DATA:
                writer.write(memoryview(frame)[1:])
                await writer.drain()
            elif channel == _ERROR:
                what = (
                    f"the pod's port {self._pod_port} cannot be reached: {frame[1:].decode(errors='replace').strip()}"
                )
                self.trouble = ClusterError(what)
                return


async def _up(reader: asyncio.StreamReader, socket: ClientConnection) -> None:
    while data := await reader.read(READ_BYTES):
        await socket.send(b"\x00" + data)
