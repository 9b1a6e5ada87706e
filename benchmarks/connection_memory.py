"""What an idle connection costs in resident memory, plaintext and TLS.

    python benchmarks/connection_memory.py [--connections 3000]

Every connection has served one request and is idle in the pool. The server is a child process; only the memory of the
process that holds the client is counted. The kernel's own memory for the socket (about 2 KB idle) is not in it.

Measured on 23 November 2026, 2 shared cores, Python 3.11.7, OpenSSL 3.0: plaintext 2.2 to 2.4 KB; TLS 31 KB (3,000
connections) to 39 KB (1,000). With memory buffers of its own each, a TLS connection took 133 KB.
"""

import argparse
import gc
import multiprocessing
import resource
import select
import socket
import ssl
import tempfile
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import trustme
import uvloop

from aiperf.clock import RunClock
from aiperf.endpoint.client import HttpClient
from aiperf.endpoint.exchange import Exchange
from aiperf.endpoint.settings import ClientSettings
from aiperf.endpoint.target import Target

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
    b"%x\r\n%s\r\n" % (len(part), part) for part in [b"data: " + b"x" * 4096 + b"\n\n"] * 20
)
END = b"0\r\n\r\n"


def serve(pipe: Pipe, identity: tuple[bytes, bytes] | None, count: int) -> None:
    """Answers once `count` requests are there, so that each has a connection of its own."""
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
    sockets: dict[int, socket.socket] = {}
    asked = 0
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor == listener.fileno():
                sock, _ = listener.accept()
                if context is not None:
                    sock = context.wrap_socket(sock, server_side=True)
                sockets[sock.fileno()] = sock
                epoll.register(sock, select.EPOLLIN)
            elif sockets[descriptor].recv(65536):
                asked += 1
                if asked == count:
                    for sock in sockets.values():
                        sock.sendall(ANSWER + END)
            else:
                return


class Opener:
    """Opens connections, one request each, all in flight at once up to the pace of the client."""

    def __init__(self, target: Target) -> None:
        self._clock = RunClock()
        self._left = 0
        self.failed: list[Exchange] = []
        self.client = HttpClient(clock=self._clock, sink=self, targets=[target], settings=ClientSettings())
        self._loop = uvloop.new_event_loop()
        self.client.attach(self._loop)

    def open(self, count: int) -> None:
        """Leaves `count` idle connections behind."""
        self._left = count
        for handle in range(count):
            exchange = Exchange(
                handle, credit_index=0, turn_index=0, phase=1, entry_index=0, url_index=0, due_ns=-1,
                dispatched_ns=self._clock.now_ns(), rearm_delay_ns=-1, body=b"",
                head=b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            )  # fmt: skip
            self.client.submit(exchange)
        self._loop.run_forever()

    def close(self) -> None:
        self.client.close()
        self._loop.close()

    def on_head(self, exchange: Exchange) -> None: ...

    def on_read(self, exchange: Exchange, stamp_ns: int, after_ns: int, data: bytes) -> None: ...

    def on_end(self, exchange: Exchange) -> None:
        if exchange.error_kind:
            self.failed.append(exchange)
        self._left -= 1
        if not self._left:
            self._loop.stop()


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measure(count: int, authority: trustme.CA | None) -> None:
    identity = ca_file = None
    if authority is not None:
        issued = authority.issue_cert("127.0.0.1")
        identity = issued.private_key_pem.bytes(), b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        ca_file = Path(tempfile.mkdtemp()) / "ca.pem"
        authority.cert_pem.write_to_path(str(ca_file))
    pipe, child_pipe = multiprocessing.Pipe()
    child = multiprocessing.Process(target=serve, args=(child_pipe, identity, count), daemon=True)
    child.start()
    url = f"{'https' if authority else 'http'}://127.0.0.1:{pipe.recv()}"
    opener = Opener(Target.from_url(url, "/", ca_file=ca_file))
    before = resident_bytes()
    opener.open(count)
    after = resident_bytes()
    idle = opener.client.open_connection_count
    failed = f", {len(opener.failed)} failed: {opener.failed[0].error_text}" if opener.failed else ""
    each = (after - before) / count
    print(f"{'TLS' if authority else 'plaintext':>9}: {each:7,.0f} bytes per idle connection ({idle} open{failed})")
    opener.close()
    child.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=3000)
    count = parser.parse_args().connections
    measure(count, None)
    measure(count, trustme.CA())


if __name__ == "__main__":
    main()
