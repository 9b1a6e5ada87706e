"""HTTP/1.1 connections to the controller, for threads.

Owns: where it is and how it is reached, keeping connections open, one exchange. Does not own: trying again (`persist`),
what is asked.

Transfers unpack, hash and write as they receive, all of which blocks. So each has a thread of its own, and the standard
library's blocking client: an asynchronous one would hand every chunk to a thread.
"""

import base64
import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from aiperf.api.certificate import pinning_context
from aiperf.api.contract import TOKEN_HEADER

SILENCE_LIMIT_S = 20.0
"""A connection that moves no byte for so long is taken for dead."""

READ_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """Where the API is, and what opens it."""

    url: str
    """`http(s)://host:port`, with a path in front of the API's own where a proxy needs one."""
    token: str = field(repr=False)
    certificate_pem: str = ""
    """The run's own certificate, the only one to be accepted. Without it an https URL is checked as usual."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """More headers, for a proxy on the way."""
    tls: ssl.SSLContext | None = None
    """For a proxy with TLS settings of its own; else None."""
    proxy_url: str = field(default="", repr=False)
    """`http://[USER:PASSWORD@]host:port` of what tunnels to that URL; empty: it is reached directly."""

    def context(self) -> ssl.SSLContext | None:
        """TLS settings of a connection; None for plain HTTP."""
        if not self.url.startswith("https:"):
            return None
        if self.certificate_pem:
            return pinning_context(self.certificate_pem)
        return self.tls or ssl.create_default_context()

    def all_headers(self) -> dict[str, str]:
        return {**self.headers, TOKEN_HEADER: self.token}


class DroppedError(Exception):
    """The connection could not be made, was cut, or fell silent. Another may do better."""


class Answer:
    """One answer while it is read."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self._buffer = memoryview(bytearray(READ_BYTES))
        self.status = response.status
        length = response.headers.get("Content-Length")
        self._left_bytes = int(length) if length is not None and length.isdecimal() else None

    def header(self, name: str) -> str:
        """Its value, or nothing."""
        value: str | None = self._response.headers.get(name)
        return value or ""

    def chunks(self) -> Iterator[memoryview]:
        """The body. Each chunk is overwritten by the next. Raises: DroppedError, also if the body ends too early."""
        while True:
            with _network():
                count = self._response.readinto(self._buffer)
            if self._left_bytes is not None:
                self._left_bytes -= count
            if count:
                yield self._buffer[:count]
            elif self._left_bytes:
                raise DroppedError(f"the connection ended {self._left_bytes} bytes too early")
            else:
                return

    def body(self) -> bytes:
        """The whole of it. Raises: DroppedError."""
        return b"".join(bytes(chunk) for chunk in self.chunks())


class Connections:
    """Kept open between exchanges, each used by one thread at a time."""

    def __init__(self, address: ApiAddress, silence_limit_s: float = SILENCE_LIMIT_S) -> None:
        split = urlsplit(address.url)
        self._host, self._port = split.hostname or "", split.port
        self._prefix = split.path.rstrip("/")
        self._context = address.context()
        self._headers = address.all_headers()
        self._proxy = urlsplit(address.proxy_url) if address.proxy_url else None
        self._silence_limit_s = silence_limit_s
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._busy: set[http.client.HTTPConnection] = set()
        self.closed = threading.Event()

    @contextlib.contextmanager
    def exchange(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Iterator[Answer]:
        """The answer, to be read in the block. Raises: DroppedError."""
        connection = self._take()
        keep = False
        try:
            with _network():
                connection.request(method, self._prefix + path, body, {**self._headers, **(headers or {})})
                response = connection.getresponse()
            if not response.chunked and "Content-Length" not in response.headers:
                # A head that is cut at the end of a line looks whole to the library.
                raise DroppedError("the connection ended within the head of an answer")
            yield Answer(response)
            keep = response.isclosed()  # read to its end
        finally:
            self._give_back(connection, keep)

    def close(self) -> None:
        """Cuts what is in progress: threads that wait for the network end at once. Idempotent."""
        with self._lock:
            self.closed.set()
            for connection in self._idle:
                connection.close()
            self._idle.clear()
            for connection in self._busy:
                if connection.sock is not None:
                    with contextlib.suppress(OSError):
                        # Not the TLS socket's own: that one may not be touched while another thread reads.
                        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    def _take(self) -> http.client.HTTPConnection:
        with self._lock:
            if self.closed.is_set():
                raise DroppedError("the client was closed")
            connection = self._idle.pop() if self._idle else self._new()
            self._busy.add(connection)
            return connection

    def _give_back(self, connection: http.client.HTTPConnection, keep: bool) -> None:
        with self._lock:
            self._busy.discard(connection)
            if keep and not self.closed.is_set():
                self._idle.append(connection)
            else:
                connection.close()

    def _new(self) -> http.client.HTTPConnection:
        host, port = self._host, self._port
        if self._proxy is not None:
            host, port = self._proxy.hostname or "", self._proxy.port or http.client.HTTP_PORT
        if self._context is None:
            connection = http.client.HTTPConnection(host, port, timeout=self._silence_limit_s)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=self._silence_limit_s, context=self._context)
        if self._proxy is not None:
            default = http.client.HTTP_PORT if self._context is None else http.client.HTTPS_PORT
            connection.set_tunnel(self._host, self._port or default, _authorization(self._proxy))
        return connection


def _authorization(proxy: SplitResult) -> dict[str, str]:
    """What a proxy with a password wants to hear. Source: RFC 7617, RFC 9110 section 11.7.2."""
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


@contextlib.contextmanager
def _network() -> Iterator[None]:
    """Errors of the block mean the connection, and nothing else."""
    try:
        yield
    except ssl.SSLCertVerificationError:
        raise  # No other connection will do better.
    except (OSError, http.client.HTTPException) as error:
        raise DroppedError(f"{type(error).__name__}: {error}") from error
