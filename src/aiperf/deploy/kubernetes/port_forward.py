"""A local port that leads to a port of a pod, through the API server.

Owns: the listening socket, a tunnel for each connection made to it. Does not own: which pod, what flows.

Each connection gets a WebSocket of its own (subprotocol `v4.channel.k8s.io`: frames begin with a channel's number, 0
for data, 1 for errors; the first frame of each names the port). So a tunnel that breaks costs one connection, and the
next one finds its way anew: to an API server that has restarted, with credentials that were renewed. kr8s' own
forwarding is not used: it takes three times the CPU, and gives up where this goes on (docs/decisions/0042).

Source: Kubernetes, `kubelet/pkg/cri/streaming/portforward/websocket.go`.
"""

import asyncio
import json
import socket
import struct
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
from aiperf.service.together import run_together

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
        for task in list(self._tunnels):
            task.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tunnels.add(task)
        task.add_done_callback(self._tunnels.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with await self._open() as tunnel:
                self.trouble = None
                await run_together(_up(reader, tunnel), self._down(tunnel, writer))
            writer.close()
        except (OSError, WebSocketException, ClusterError):
            _reset(writer)
        finally:
            writer.close()

    async def _open(self) -> ClientConnection:
        """A tunnel. Raises: ClusterError, kept as `trouble`."""
        deadline_s = time.monotonic() + OPEN_PATIENCE_S
        pause_s, logged_in = 0.05, False
        proxy = (await self._cluster.transport()).proxy
        while True:
            try:
                return await self._try_open()
            except InvalidStatus as error:
                status, body = error.response.status_code, _status(error.response.body)
                request = Request("create", "pods/portforward", self._namespace)
                failure = refusal(request, status, body, self._cluster.server)
                # 500: its node does not know the pod yet, or does not answer.
                again = status == 500 or is_transient(status, str(body.get("message", "")))
                if status == 401 and not logged_in:
                    logged_in = again = True
                    await self._cluster.log_in_again()
            except (OSError, TimeoutError, InvalidHandshake) as error:
                failure, again = unreachable(self._cluster.server, error, proxy), True
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
            proxy=transport.proxy.url if transport.proxy else None,
            # Most of it is compressed and encrypted already.
            compression=None,
            max_size=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=1,
            # A client that reads slowly holds back pongs as well; silence is the client's own matter.
            ping_interval=None,
            **tls,
        )

    async def _down(self, tunnel: ClientConnection, writer: asyncio.StreamWriter) -> None:
        begun: set[int] = set()
        async for frame in tunnel:
            if not isinstance(frame, bytes) or not frame:
                continue
            channel = frame[0]
            if channel not in begun:  # names the port
                begun.add(channel)
            elif channel == _DATA:
                writer.write(memoryview(frame)[1:])
                await writer.drain()
            elif channel == _ERROR:
                self.trouble = ClusterError(_refused_text(self._pod_port, frame[1:].decode(errors="replace")))
                raise self.trouble


def _status(body: bytes | bytearray | None) -> dict[str, Any]:
    """The API's Status object, or nothing."""
    try:
        status = json.loads(body or b"")
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


def _refused_text(port: int, text: str) -> str:
    if "connection refused" in text:
        return f"nothing listens on the pod's port {port}"
    return f"the pod's port {port} cannot be reached: {text.strip()}"


def _reset(writer: asyncio.StreamWriter) -> None:
    """Whoever made this connection sees it reset, not ended as if all had come, and makes another."""
    # Without lingering, closing is a reset. Source: socket(7), SO_LINGER.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _up(reader: asyncio.StreamReader, tunnel: ClientConnection) -> None:
    while data := await reader.read(READ_BYTES):
        await tunnel.send(b"\x00" + data)
