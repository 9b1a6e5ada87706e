"""A scripted raw server on loopback, and the client under test driven by hand, for the tests of the HTTP client."""

import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from tests.system.http_client.line import Line

from aiperf.clock import RunClock
from aiperf.endpoint.client import HttpClient
from aiperf.endpoint.exchange import Exchange
from aiperf.endpoint.settings import ClientSettings
from aiperf.endpoint.target import Target

PATIENCE_S = 20
"""How long a slow machine may take before a test gives up."""
MODES = (
    [("epoll", "auto"), ("epoll", "user"), ("poll", "user")]
    if sys.platform == "linux"
    else [("kqueue", "user"), ("poll", "user")]
)
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Peer:
    """The server's end of one connection, with what scripts need."""

    def __init__(self, sock: socket.socket, index: int) -> None:
        self.sock = sock
        self.index = index
        self.received = bytearray()

    def request(self) -> bytes:
        """The next request, whole; b"" at the end of the connection."""
        received = self.received
        while b"\r\n\r\n" not in received:
            if not self._more():
                return b""
        head_length = received.index(b"\r\n\r\n") + 4
        length = int(received[:head_length].lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(received) < head_length + length:
            if not self._more():
                return b""
        request = bytes(received[: head_length + length])
        del received[: head_length + length]
        return request

    def _more(self) -> bool:
        try:
            data = self.sock.recv(1 << 20)
        except OSError:
            return False
        self.received += data
        return bool(data)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, body: bytes = b"ok") -> None:
        self.send(JSON_HEAD % len(body) + body)

    def reset(self) -> None:
        """Closes with a reset rather than an end of file."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def ended(self) -> bool:
        """Waits until the client's side is closed."""
        with suppress(OSError):
            while self.sock.recv(65536):
                pass
        return True


class Server:
    """Runs the script once per accepted connection, each in a thread of its own."""

    def __init__(self, script: Callable[[Peer], None], *, host: str = "127.0.0.1", tls=None) -> None:
        self._script = script
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=512)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.connection_count = 0
        self.errors: list[BaseException] = []
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets.append(sock)
            index, self.connection_count = self.connection_count, self.connection_count + 1
            thread = threading.Thread(target=self._run, args=(sock, index))
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket, index: int) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._sockets.append(sock)
            self._script(Peer(sock, index))
        except OSError:
            pass  # the client went away: its right
        except BaseException as error:  # noqa: BLE001 (an assertion of the script: kept for the test)
            self.errors.append(error)
        finally:
            sock.close()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        assert not self.errors


class Recorder:
    """A sink that keeps what it is told, and checks the order in which it is told."""

    def __init__(self) -> None:
        self.heads: list[Exchange] = []
        self.ended: list[Exchange] = []
        self.reads: dict[int, list[tuple[int, int, bytes]]] = {}
        self.then: Callable[[Exchange], None] = lambda exchange: None
        """Called from `on_end`."""

    def on_head(self, exchange: Exchange) -> None:
        assert exchange not in self.heads
        assert exchange.http_status >= 200
        self.heads.append(exchange)

    def on_read(self, exchange: Exchange, stamp_ns: int, after_ns: int, data: bytes) -> None:
        assert exchange in self.heads
        assert exchange not in self.ended
        assert data
        assert exchange.sent_ns <= after_ns <= stamp_ns <= time.time_ns() + 10_000_000
        reads = self.reads.setdefault(exchange.handle, [])
        assert not reads or reads[-1][0] <= stamp_ns
        reads.append((stamp_ns, after_ns, data))

    def on_end(self, exchange: Exchange) -> None:
        assert exchange not in self.ended
        self.ended.append(exchange)
        self.then(exchange)

    def body(self, exchange: Exchange) -> bytes:
        return b"".join(data for _, _, data in self.reads.get(exchange.handle, []))


class Bench:
    """A client with its recorder, driven by hand."""

    def __init__(self, urls: list[str], settings: ClientSettings, **trust) -> None:
        self.clock = RunClock()
        self.sink = Recorder()
        self.targets = [Target.from_url(url, "/v1/x", **trust) for url in urls]
        self.client = HttpClient(clock=self.clock, sink=self.sink, targets=self.targets, settings=settings)
        self.submitted: list[Exchange] = []
        self.connecting_max = 0

    def submit(self, body: bytes = b"{}", *, url_index: int = 0) -> Exchange:
        target = self.targets[url_index]
        head = b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n" % (
            target.path.encode(),
            target.host_header.encode(),
            len(body),
        )
        exchange = Exchange(
            len(self.submitted), credit_index=0, turn_index=0, phase=1, entry_index=0, url_index=url_index,
            due_ns=-1, dispatched_ns=self.clock.now_ns(), rearm_delay_ns=-1, head=head, body=body,
        )  # fmt: skip
        self.submitted.append(exchange)
        self.client.submit(exchange)
        return exchange

    def turn(self) -> None:
        """What the event loop would do once."""
        if self.client.fileno() >= 0:
            select.select([self.client.fileno()], [], [], 0.01)
        else:
            time.sleep(0.001)
        self.client.drain()
        self.client.tick()
        self.connecting_max = max(self.connecting_max, self.client.connecting_count)

    def run_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "the condition was not met in time"
            self.turn()

    def finish(self) -> None:
        """Until every exchange submitted has ended."""
        self.run_until(lambda: not self.client.in_flight_count)
        assert sorted(exchange.handle for exchange in self.sink.ended) == list(range(len(self.submitted)))

    def fetch(self, body: bytes = b"{}", *, url_index: int = 0) -> Exchange:
        exchange = self.submit(body, url_index=url_index)
        self.run_until(lambda: exchange in self.sink.ended)
        return exchange


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(stack: ExitStack) -> Callable[..., Server]:
    """Starts a scripted server; closed, with its threads, after the test."""

    def start(script: Callable[[Peer], None], **kind) -> Server:
        server = Server(script, **kind)
        stack.callback(server.close)
        return server

    return start


@pytest.fixture(params=MODES, ids="-".join)
def mode(request: pytest.FixtureRequest) -> dict[str, str]:
    selector, timestamps = request.param
    return {"selector": selector, "timestamps": timestamps}


@pytest.fixture
def bench(stack: ExitStack, mode: dict[str, str]) -> Callable[..., Bench]:
    """Makes a client for the URLs; closed after the test, and then every exchange must have ended exactly once."""

    def make(*urls: str, trust: dict | None = None, **settings) -> Bench:
        made = Bench(list(urls), ClientSettings(**(mode | settings)), **(trust or {}))

        def close() -> None:
            made.client.close()
            made.finish()
            assert made.client.open_connection_count == 0

        stack.callback(close)
        return made

    return make


@pytest.fixture
def line(bench, stack):
    made = Line(bench)
    stack.callback(made.close)
    return made
