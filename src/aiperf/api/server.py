"""The HTTP API's server: routes behind the token, on a socket, in somebody else's event loop.

Owns: the ASGI application, uvicorn's life. Does not own: what the routes do (`routes_*`), the process, its signals.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from aiperf.api.problems import answer_bug, answer_problem
from aiperf.api.token_gate import TokenGate
from aiperf.errors import InfrastructureError

OPEN_PATHS = ("/healthz", "/readyz")
"""Without a token: probes have none, and learn nothing but this."""

KEEP_ALIVE_S = 75
LEAVE_LIMIT_S = 3
"""How long requests may go on once the server is told to stop."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the run's certificate and its key lie, as PEM."""

    certificate: Path
    key: Path


def build_app(
    token: str,
    routes: Sequence[BaseRoute],
    *,
    is_ready: Callable[[], str] = str,
    is_healthy: Callable[[], str] = str,
) -> TokenGate:
    """The application. Both callables return nothing if all is well, else in plain words what is not.

    Raises: ValueError if the token is empty.
    """

    def probe(check: Callable[[], str]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_: Request) -> Response:
            trouble = check()
            return Response(f"{trouble or 'ok'}\n", 503 if trouble else 200, media_type="text/plain")

        return answer

    probes = [Route("/healthz", probe(is_healthy)), Route("/readyz", probe(is_ready))]
    app = Starlette(
        routes=[*probes, *routes], exception_handlers={HTTPException: answer_problem, Exception: answer_bug}
    )
    return TokenGate(app, token, OPEN_PATHS)


def listen(host: str, port: int, *, tls: bool) -> socket.socket:
    """A listening socket. Without TLS only on loopback: everything else would send the token in clear.

    Raises: InfrastructureError if the address is taken or not ours; ValueError for plain text beyond loopback.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InfrastructureError(f"the API cannot listen at {host}: {error}") from error
    if not tls and not ipaddress.ip_address(address[0]).is_loopback:
        raise ValueError(f"the API at {host} would be reached without TLS from other machines")
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise InfrastructureError(f"the API cannot listen at {host} port {port}: {error.strerror}") from error
    return listener


class ApiServer:
    """Serves from `start` to `stop`, as a task of the running loop."""

    def __init__(self, app: TokenGate, listener: socket.socket, tls: TlsFiles | None = None) -> None:
        """`listener` listens already: who connects before `start` is served after it. The server closes it."""
        # Their debug lines show headers, and so the token, which has no place in a log.
        for name in ("uvicorn", "uvicorn.error", "websockets"):
            logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger(name).level))
        self._server = _GuestServer(
            uvicorn.Config(
                app,
                http="httptools",
                ws="websockets-sansio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=LEAVE_LIMIT_S,
                ssl_certfile=tls.certificate if tls else None,
                ssl_keyfile=tls.key if tls else None,
            )
        )
        self._listener = listener
        self._serving: asyncio.Task[None] | None = None
        self.port: int = listener.getsockname()[1]

    def start(self) -> None:
        self._serving = asyncio.create_task(self._server.serve([self._listener]), name="api")

    async def stop(self) -> None:
        """Ends when requests in progress have, or their limit has passed. Idempotent. Raises: what ended the server."""
        self._server.should_exit = True
        if self._serving is None:
            self._listener.close()
        else:
            await self._serving


class _GuestServer(uvicorn.Server):
    """Leaves signals to the host."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
