"""What an open stream, and an idle connection, cost the client in memory, plaintext and TLS.

    python benchmarks/connection_memory.py [--connections 3000]

All requests are in flight at once, each on a connection of its own, as in a worker: head and body written for each. The
server, a child process, answers in step: nothing; head and one event; ten more events; the end. After each step the
memory of the process that holds the client is read, as resident memory and as what Python's allocator was asked for
(`traced`, a second run). The kernel's own memory for the socket (about 2 KB idle) is in neither.

Figures are kept in benchmarks/README.md.
"""

import argparse
import gc
import multiprocessing
import resource
import select
import socket
import ssl
import tempfile
import tracemalloc
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import trustme
import uvloop

from aiperf.clock import RunClock
from aiperf.endpoint.client import HttpClient
from aiperf.endpoint.exchange import Exchange
from aiperf.endpoint.request_head import RequestHead
from aiperf.endpoint.settings import ClientSettings
from aiperf.endpoint.target import Target

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}\n\n'
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
END = b"0\r\n\r\n"
BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"%s"}]}' % (b"word " * 100)

STEPS = {"waiting": b"", "first event": HEAD + CHUNK, "11 events": CHUNK * 10, "idle": END}


def serve(pipe: Pipe, identity: tuple[bytes, bytes] | None) -> None:
    """Takes requests and answers none; what the pipe brings is sent on every connection."""
    context = None
    if identity is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(identity[0] + identity[1])
            context.load_cert_chain(file.name)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    pipe.send(listener.getsockname()[1])
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    epoll.register(pipe, select.EPOLLIN)
    sockets: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor == listener.fileno():
                sock, _ = listener.accept()
                if context is not None:
                    sock = context.wrap_socket(sock, server_side=True)
                sockets[sock.fileno()] = sock
                epoll.register(sock, select.EPOLLIN)
            elif descriptor == pipe.fileno():
                answer = pipe.recv_bytes()
                for sock in sockets.values():
                    sock.sendall(answer)
            elif not sockets[descriptor].recv(65536):
                return


class Opener:
    """Opens streams, all in flight at once up to the pace of the client, and waits for each step of their answers."""

    def __init__(self, target: Target) -> None:
        self._clock = RunClock()
        self._left = 0
        self._step_bytes = 0
        self.failed: list[Exchange] = []
        self.client = HttpClient(clock=self._clock, sink=self, targets=[target], settings=ClientSettings())
        self._head = RequestHead(
            path="/v1/chat/completions", host="127.0.0.1:8000", headers={}, api_key=None, streaming=True,
            keep_alive=True,
        )  # fmt: skip
        self._loop = uvloop.new_event_loop()
        self.client.attach(self._loop)

    def open(self, count: int) -> None:
        """Leaves `count` requests behind that are sent and wait for their answer."""
        for number in range(count):
            # Bytes of their own, as the store's are.
            body = bytes(bytearray(BODY))
            name = f"{number:032x}"
            exchange = Exchange(
                1000 + number, credit_index=1000 + number, turn_index=0, phase=1, entry_index=1000 + number,
                url_index=0, due_ns=self._clock.now_ns(), dispatched_ns=self._clock.now_ns(), rearm_delay_ns=-1,
                body=body, head=self._head.write(name, name, len(body)),
            )  # fmt: skip
            self.client.submit(exchange)
        self._wait_until_open(count)

    def _wait_until_open(self, count: int) -> None:
        if self.client.open_connection_count < count and not self.failed:
            self._loop.call_later(0.01, self._wait_until_open, count)
            if not self._loop.is_running():
                self._loop.run_forever()
        elif self._loop.is_running():
            self._loop.stop()

    def take(self, event_count: int, end_count: int) -> None:
        """Reads until so many events, and ends of responses, more have come."""
        self._step_bytes += event_count * len(EVENT)
        self._left += end_count
        self._loop.run_forever()

    def close(self) -> None:
        self.client.close()
        self._loop.close()

    def _stop_if_done(self) -> None:
        if self._step_bytes <= 0 and self._left <= 0:
            self._loop.stop()

    def on_head(self, exchange: Exchange) -> None: ...

    def on_read(self, exchange: Exchange, stamp_ns: int, after_ns: int, data: bytes) -> None:  # noqa: ARG002
        self._step_bytes -= len(data)
        self._stop_if_done()

    def on_end(self, exchange: Exchange) -> None:
        if exchange.error_kind:
            self.failed.append(exchange)
        self._left -= 1
        self._stop_if_done()


def held_bytes() -> int:
    """Traced memory if it is being traced, else what is resident."""
    gc.collect()
    if tracemalloc.is_tracing():
        return tracemalloc.get_traced_memory()[0]
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measure(count: int, authority: trustme.CA | None) -> dict[str, float]:
    """Bytes per connection after each step."""
    identity = ca_file = None
    if authority is not None:
        issued = authority.issue_cert("127.0.0.1")
        identity = issued.private_key_pem.bytes(), b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        ca_file = Path(tempfile.mkdtemp()) / "ca.pem"
        authority.cert_pem.write_to_path(str(ca_file))
    pipe, child_pipe = multiprocessing.Pipe()
    child = multiprocessing.Process(target=serve, args=(child_pipe, identity), daemon=True)
    child.start()
    url = f"{'https' if authority else 'http'}://127.0.0.1:{pipe.recv()}"
    opener = Opener(Target.from_url(url, "/", ca_file=ca_file))
    before = held_bytes()
    each = {}
    opener.open(count)
    for step, answer in STEPS.items():
        if answer:
            pipe.send_bytes(answer)
            opener.take(answer.count(EVENT) * count, count if answer == END else 0)
        each[step] = (held_bytes() - before) / count
    if opener.failed:
        raise SystemExit(f"{len(opener.failed)} failed: {opener.failed[0].error_text}")
    opener.close()
    child.join()
    return each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=3000)
    count = parser.parse_args().connections
    print(f"{count:,} connections, bytes each:" + "".join(f"{step:>13}" for step in STEPS))
    for name, authority in {"plaintext": None, "TLS": trustme.CA()}.items():
        resident = measure(count, authority)
        tracemalloc.start()
        traced = measure(count, authority)
        tracemalloc.stop()
        for kind, each in {"resident": resident, "traced": traced}.items():
            print(f"{name + ', ' + kind:>27}" + "".join(f"{each[step]:13,.0f}" for step in STEPS))


if __name__ == "__main__":
    main()
