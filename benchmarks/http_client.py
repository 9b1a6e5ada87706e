"""What the HTTP timing client costs: requests and reads per CPU-second, against a canned server in a child process.

    python benchmarks/http_client.py [--connections 100] [--requests 40000] [--tokens 50] [--timestamps auto]

The client is driven by uvloop and feeds a `SliceWriter`, as in a worker; only its own process's CPU time is counted.
Each answered request is followed by the next one at once (closed loop). The server writes prepared bytes and nothing
else, one chunk per turn and connection, so that the client is what is measured.

Measured on 23 November 2026, 2 shared cores, Python 3.11.7 (range of repeated runs; others used the cores too):
    kernel stamps   73,000 to 99,000 one-chunk requests, 178,000 to 219,000 streamed reads per CPU-second
    user stamps     88,000 one-chunk requests, 272,000 streamed reads per CPU-second
    8,000 connections, opened included: 50,000 one-chunk requests, 121,000 reads; 57 MiB
On 25 November 2026, with seven others on the same cores: a read of one chunk that is there 4.6 µs, of which 4.1 without
its stamp; the question whether it came in one segment 1.4 µs more.
"""

import argparse
import multiprocessing
import resource
import select
import socket
import statistics
import time
from multiprocessing.connection import Connection as Pipe

import uvloop

from aiperf.clock import RunClock
from aiperf.endpoint import stamps
from aiperf.endpoint.client import HttpClient
from aiperf.endpoint.connection import Connection
from aiperf.endpoint.exchange import Exchange
from aiperf.endpoint.segments import came_in_one_segment
from aiperf.endpoint.settings import ClientSettings
from aiperf.endpoint.target import Target
from aiperf.record.slices import SliceWriter

BODY = b'{"model":"mock","stream":true,"max_tokens":50,"messages":[{"role":"user","content":"hello"}]}'
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(BODY)
)
CHUNK_EVENT = (
    b'data: {"id":"c-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" word"}}]}\n\n'
)
ROUND_INTERVAL_S = 0.002
"""Between the chunks of a stream, so that the client reads them one by one."""
RESPONSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: canned\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\n"
)


def canned_parts(tokens: int) -> list[bytes]:
    """The writes of one response: a single one without tokens, else a head with the first chunk, chunks, the end."""
    if not tokens:
        return [RESPONSE_HEAD + b"content-length: %d\r\n\r\n" % len(CHUNK_EVENT) + CHUNK_EVENT]
    chunk = b"%x\r\n%s\r\n" % (len(CHUNK_EVENT), CHUNK_EVENT)
    head = RESPONSE_HEAD + b"transfer-encoding: chunked\r\n\r\n"
    return [head + chunk, *[chunk] * (tokens - 1), b"0\r\n\r\n"]


def serve(pipe: Pipe, tokens: int) -> None:
    """Answers every read with the canned writes, one per connection and round, until the pipe closes."""
    parts = canned_parts(tokens)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    epoll.register(pipe.fileno(), select.EPOLLIN)
    pipe.send(listener.getsockname()[1])
    sockets: dict[int, socket.socket] = {}
    writing: dict[int, int] = {}
    while True:
        if writing and tokens:
            time.sleep(ROUND_INTERVAL_S)
        for descriptor, _ in epoll.poll(0 if writing else None):
            if descriptor == pipe.fileno():
                return
            if descriptor == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sockets[sock.fileno()] = sock
                epoll.register(sock, select.EPOLLIN)
            elif sockets[descriptor].recv(65536):
                writing[descriptor] = 0
            else:
                sockets.pop(descriptor).close()
                writing.pop(descriptor, None)
        for descriptor, index in list(writing.items()):
            sockets[descriptor].send(parts[index])
            if index + 1 < len(parts):
                writing[descriptor] = index + 1
            else:
                del writing[descriptor]


def exchange_of(number: int, now_ns: int) -> Exchange:
    return Exchange(
        number, credit_index=number, turn_index=0, phase=1, entry_index=0, url_index=0,
        due_ns=-1, dispatched_ns=now_ns, rearm_delay_ns=0, head=HEAD, body=BODY,
    )  # fmt: skip


class ClosedLoop:
    """Keeps every connection busy until the requests are used up; cuts a slice now and then, as a worker does."""

    def __init__(self, connections: int, requests: int, target: Target, settings: ClientSettings) -> None:
        self._clock = RunClock()
        self._slices = SliceWriter(0)
        self.client = HttpClient(clock=self._clock, sink=self, targets=[target], settings=settings)
        self.on_head = self._slices.on_head
        self.on_read = self._slices.on_read
        self._connections = connections
        self._requests = requests
        self._submitted = self._ended = self.failed = 0

    def run(self) -> float:
        """The CPU time it took, in seconds."""
        loop = uvloop.new_event_loop()
        self._loop = loop
        self.client.attach(loop)
        started = time.process_time()
        for _ in range(self._connections):
            self._submit()
        loop.run_forever()
        cpu_s = time.process_time() - started
        self.client.close()
        loop.close()
        return cpu_s

    def _submit(self) -> None:
        self._submitted += 1
        now_ns = self._clock.now_ns()
        self.client.submit(exchange_of(self._submitted, now_ns))

    def on_end(self, exchange: Exchange) -> None:
        self._slices.on_end(exchange)
        self._ended += 1
        self.failed += bool(exchange.error_kind)
        if self._slices.size_bytes > 1 << 20:
            self._slices.take(exchange.end_ns)
        if self._submitted < self._requests:
            self._submit()
        elif self._ended == self._requests:
            self._loop.stop()


def measure(connections: int, requests: int, tokens: int, settings: ClientSettings) -> None:
    pipe, child_pipe = multiprocessing.Pipe()
    child = multiprocessing.Process(target=serve, args=(child_pipe, tokens), daemon=True)
    child.start()
    port = pipe.recv()
    load = ClosedLoop(connections, requests, Target.from_url(f"http://127.0.0.1:{port}"), settings)
    cpu_s = load.run()
    pipe.close()
    child_pipe.close()
    child.terminate()
    child.join()
    counters = load.client.counters
    kind = f"{tokens} chunks" if tokens else "one chunk"
    print(
        f"{kind:>10}, {connections} connections: {requests / cpu_s:,.0f} requests and "
        f"{counters.read_count / cpu_s:,.0f} reads per CPU-second "
        f"({counters.timestamp_source} stamps, {cpu_s:.2f} CPU-s, {load.failed} failed, "
        f"{counters.coalesced_read_count} coalesced, longest batch {counters.drain_max_ns / 1e6:.1f} ms)"
    )


def read_us(rounds: int, *, asks: bool) -> float:
    """The median time of one read of one chunk that has arrived, and of the question how it came."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as peer,
        listener.accept()[0] as sock,
    ):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stamps.enable(sock)
        connection = Connection(exchange_of(0, 0), [], 0)
        connection.sock, connection.descriptor = sock, sock.fileno()
        took_ns = []
        for _ in range(rounds):
            peer.send(CHUNK_EVENT)
            started_ns = time.monotonic_ns()
            sock.recvmsg(65536, stamps.CONTROL_BYTES)
            if asks:
                connection.read_count += 1
                came_in_one_segment(connection)
            took_ns.append(time.monotonic_ns() - started_ns)
        return statistics.median(took_ns) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--tokens", type=int, default=50)
    parser.add_argument("--timestamps", choices=["auto", "kernel", "user"], default="auto")
    parser.add_argument("--selector", choices=["auto", "epoll", "kqueue", "poll"], default="auto")
    arguments = parser.parse_args()
    settings = ClientSettings(timestamps=arguments.timestamps, selector=arguments.selector)
    measure(arguments.connections, arguments.requests, 0, settings)
    measure(
        arguments.connections, max(arguments.requests // max(arguments.tokens // 5, 1), 1), arguments.tokens, settings
    )
    alone_us, asked_us = (read_us(20_000, asks=asks) for asks in (False, True))
    print(f"one read: {alone_us:.2f} µs, with the question whether it came in one segment: {asked_us:.2f} µs")
    print(f"peak memory of the client: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


if __name__ == "__main__":
    main()
