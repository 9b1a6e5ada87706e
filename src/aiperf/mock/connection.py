"""One client connection: reads with the kernel's stamps, frames requests, writes without blocking.

Owns: a socket, its HTTP framing, its TLS if any, and bytes the client's window had no room for. Does not own: what is
answered or when (`server`).
"""

import contextlib
import socket
import ssl
import struct
import time
from typing import Protocol

import httptools

from aiperf.endpoint.stamps import CONTROL_BYTES, SO_TIMESTAMPING, read_timespec
from aiperf.mock.poller import READABLE, WRITABLE, Poller
from aiperf.mock.responder import Received
from aiperf.mock.tls import TlsChannel
from aiperf.units import NS_PER_S

READ_BYTES = 65536
_NO_LINGER = struct.pack("ii", 1, 0)


class Owner(Protocol):
    """Who is told what happens on a connection."""

    def request_arrived(self, connection: "Connection", received: Received) -> None: ...

    def connection_closed(self, connection: "Connection") -> None:
        """The socket is closed: by us, by the client, or because the client talks nonsense."""
        ...


class Connection:
    """A socket and the requests on it. The HTTP parser calls its `on_*` methods."""

    __slots__ = (
        "_body",
        "_closing",
        "_headers",
        "_kernel_stamp",
        "_outbox",
        "_owner",
        "_parser",
        "_poller",
        "_sock",
        "_stamp_ns",
        "_target",
        "_tls",
        "fd",
        "queued_writes",
        "request_count",
    )

    def __init__(self, sock: socket.socket, owner: Owner, poller: Poller, tls: TlsChannel | None) -> None:
        self._sock, self._owner, self._poller, self._tls = sock, owner, poller, tls
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._outbox = bytearray()
        self._closing = False
        self._target, self._body = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._stamp_ns, self._kernel_stamp = 0, False
        self.fd = sock.fileno()
        self.queued_writes = 0
        """Writes that had to wait for room in the client's window."""
        self.request_count = 0
        poller.register(self.fd, READABLE)

    @property
    def is_open(self) -> bool:
        return self._parser is not None

    @property
    def is_closing(self) -> bool:
        """Closes when what is written is sent."""
        return self._closing

    # Reading

    def on_ready(self, events: int) -> None:
        """Does what the poller says is possible."""
        if events & WRITABLE:
            self._write_outbox()
        if events & ~WRITABLE and self.is_open:
            self._read()

    def _read(self) -> None:
        try:
            data, control, _flags, _address = self._sock.recvmsg(READ_BYTES, CONTROL_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, control = b"", []
        if not data:
            self._drop()
            return
        if self._closing:
            return
        self._kernel_stamp = bool(control) and control[0][1] == SO_TIMESTAMPING
        if self._kernel_stamp:
            seconds, nanoseconds = read_timespec(control[0][2])
            self._stamp_ns = seconds * NS_PER_S + nanoseconds
        else:
            self._stamp_ns = time.time_ns()
        try:
            if self._tls is not None:
                data = self._tls.receive(data)
                self._send(self._tls.to_send())
            if data and self._parser is not None:
                self._parser.feed_data(data)
        except (ssl.SSLError, httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._drop()

    def on_url(self, target: bytes) -> None:
        self._target += target  # a long one may come in parts

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._body = self._body + data if self._body else data

    def on_message_complete(self) -> None:
        assert self._parser is not None
        method, keep_alive = self._parser.get_method(), self._parser.should_keep_alive()
        received = Received(
            method, self._target, self._headers, self._body, keep_alive, self._stamp_ns, self._kernel_stamp
        )
        self._target, self._headers, self._body = b"", {}, b""
        self.request_count += 1
        self._owner.request_arrived(self, received)

    # Writing

    def write(self, data: bytes) -> None:
        """Sends, or keeps what finds no room until there is some. A client that is gone is noticed when it is read."""
        self._send(data if self._tls is None else self._tls.protect(data))

    def _send(self, data: bytes) -> None:
        if self._outbox:
            self.queued_writes += 1
            self._outbox += data
            return
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return
        if sent < len(data):
            self.queued_writes += 1
            self._outbox += data[sent:]
            self._poller.modify(self.fd, READABLE | WRITABLE)

    def _write_outbox(self) -> None:
        try:
            del self._outbox[: self._sock.send(self._outbox)]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop()
            return
        if not self._outbox:
            self._poller.modify(self.fd, READABLE)
            if self._closing:
                self._drop()

    # The end

    def close(self) -> None:
        """Closes in good order, as soon as everything written is sent."""
        if self._tls is not None:
            self._send(self._tls.farewell())
        if self._outbox:
            self._closing = True
        else:
            self._drop()

    def reset(self) -> None:
        """Closes with a TCP reset."""
        with contextlib.suppress(OSError):  # the client may be gone already
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._drop()

    def _drop(self) -> None:
        if self.is_open:
            self._parser = None  # it refers to us; the garbage collector is off
            self._poller.unregister(self.fd)
            self._sock.close()
            self._owner.connection_closed(self)
