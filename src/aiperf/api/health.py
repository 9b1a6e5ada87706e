"""A listener for health probes: `/healthz` and `/readyz`, and nothing else.

Owns: as much of HTTP/1.1 as probes speak. Does not own: what healthy means. For hosts without the API.

That the event loop answers at all is what `/healthz` says: a hung service does not.
"""

import asyncio
from collections.abc import Callable

from aiperf.errors import InfrastructureError

HEAD_BYTES = 8 << 10
HEAD_LIMIT_S = 5.0
"""Whoever has not said what it wants by then is no probe."""

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class HealthListener:
    """Answers from `start` to `close`."""

    def __init__(
        self, host: str, port: int, *, is_ready: Callable[[], str] = str, is_healthy: Callable[[], str] = str
    ) -> None:
        """Both callables return nothing if all is well, else in plain words what is not."""
        self._host = host
        self._port = port
        self._checks = {"/readyz": is_ready, "/healthz": is_healthy}
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listens; returns the port. Raises: InfrastructureError if it is taken."""
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=HEAD_BYTES)
        except OSError as error:
            raise InfrastructureError(f"cannot listen for health probes at port {self._port}: {error}") from error
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        """Idempotent."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_LIMIT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # not a probe, or one that left
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        """One answer to a connection; probes make a new one each time anyway."""
        method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        target, _, version = rest.partition(" ")
        check = self._checks.get(target.partition("?")[0])
        if not version.startswith("HTTP/1."):
            status, text = 400, "not HTTP/1"
        elif check is None:
            status, text = 404, "only /healthz and /readyz are here"
        elif method not in ("GET", "HEAD"):
            status, text = 405, "GET or HEAD"
        else:
            text = check()
            status, text = (503, text) if text else (200, "ok")
        body = f"{text}\n".encode()
        lines = (
            f"HTTP/1.1 {status} {_REASONS[status]}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        return "\r\n".join((*lines, "", "")).encode() + (b"" if method == "HEAD" else body)
