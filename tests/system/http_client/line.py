"""A server that is played by the test itself, step by step, and the client that looks when it is told to."""

import socket
import time

from aiperf.units import NS_PER_MS

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"2\r\nok\r\n"
END = b"0\r\n\r\n"
SETTLING_NS = NS_PER_MS
"""What is sent on loopback is readable after microseconds; a busy machine may take longer."""


class Line:
    """One exchange whose server is played by the test itself: what is sent and when the client looks is all in turn."""

    def __init__(self, bench) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.at = bench(f"http://127.0.0.1:{self._listener.getsockname()[1]}")
        self.exchange = self.at.submit()
        self.at.run_until(lambda: self.exchange.send_done_ns >= 0)
        self.peer, _ = self._listener.accept()
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peer.recv(65536)
        self.sends: list[tuple[int, int]] = []
        """Of each chunk: the clock before and after it was sent."""

    def send(self, data: bytes = CHUNK) -> None:
        before_ns = self.at.clock.now_ns()
        self.peer.sendall(data)
        self.sends.append((before_ns, self.at.clock.now_ns()))
        time.sleep(2 * SETTLING_NS / 1e9)

    def look(self) -> int:
        """Lets the client look once; the clock before it did."""
        before_ns = self.at.clock.now_ns()
        self.at.client.drain()
        return before_ns

    @property
    def reads(self) -> list[tuple[int, int, bytes]]:
        return self.at.sink.reads.get(self.exchange.handle, [])

    def close(self) -> None:
        self.peer.close()
        self._listener.close()
