"""The loop of one server process: reads requests, keeps every write's due time, sends what is due, logs the truth.

Owns: listening sockets, the heap of due writes, slots, the stall of the whole server. Does not own: what is answered
(`responder`), framing (`connection`), several processes (`processes`).

Theory of operation. A request's delays count from the kernel's receive stamp of its last byte (or from the moment it
got a slot), so that a busy server is late for single writes but never drifts. All streams lie in one heap by the due
time of their next write. Each turn of the loop reads what came in, then sends all that is due. The clock is read right
before and right after each send if a truth log is kept.
"""

import errno
import gc
import heapq
import itertools
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from aiperf.endpoint import stamps
from aiperf.mock.answer import Ending
from aiperf.mock.behaviour import Behaviour
from aiperf.mock.connection import Connection
from aiperf.mock.latency import Latency
from aiperf.mock.poller import READABLE, Waker, open_poller
from aiperf.mock.responder import Received, Responder
from aiperf.mock.stream import Stream
from aiperf.mock.tls import TlsChannel
from aiperf.mock.truth import TruthLog
from aiperf.units import NS_PER_S

BACKLOG = 65535
ACCEPTS_PER_TURN = 256
LOG_INTERVAL_NS = NS_PER_S // 4
NEVER = (1 << 62, 1 << 62)
ENDINGS = {Ending.CLOSE: "closed", Ending.RESET: "reset"}


class _Ready(Protocol):
    def on_ready(self, events: int) -> None: ...


class _OnReady:
    """Makes a function the answer to a descriptor's readiness."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def on_ready(self, _events: int) -> None:
        self._act()


class Server:
    """One process's server. `serve` runs until `stop` is called, from a signal handler for instance."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        behaviour: Behaviour,
        *,
        process: int = 0,
        tls: ssl.SSLContext | None = None,
        log: TruthLog | None = None,
    ) -> None:
        self._behaviour, self._process, self._tls, self._log = behaviour, process, tls, log
        self._responder = Responder(behaviour, process)
        self._latency = Latency(behaviour, process)
        self._poller = open_poller()
        self._waker = Waker()
        self._handlers: dict[int, _Ready] = {}
        self._connections: dict[int, Connection] = {}
        self._streams: dict[int, Stream] = {}
        """The request in service, or waiting for a slot, of each connection. Both by descriptor."""
        self._pipelined: dict[int, deque[Received]] = {}
        """Requests that came before the one in service was answered."""
        self._due: list[tuple[int, int, Stream]] = []
        """A heap: due time of the next write, the stream's number, the stream."""
        self._queue: deque[Stream] = deque()
        """Waiting for a slot."""
        self._serving_count = 0
        self._idle: deque[tuple[int, int, Connection]] = deque()
        """When to close a connection, if it has since made no request: (instant, requests until now, connection)."""
        self._numbers = itertools.count()
        self._stall_ns = NEVER
        self._accepting_paused = False
        self._flush_ns = 0
        self._stopping = False
        self._listeners = list(listeners)
        for listener in listeners:
            self._prepare(listener)
        self.watch(self._waker.reader.fileno(), lambda: None)

    def _prepare(self, listener: socket.socket) -> None:
        """Starts listening. Accepted sockets inherit both options."""
        listener.setblocking(False)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stamps.enable(listener)  # where the kernel has no stamps the clock is read, and the log says so
        listener.listen(BACKLOG)
        self.watch(listener.fileno(), lambda: self._accept(listener))

    def watch(self, fd: int, act: Callable[[], None]) -> None:
        """Calls `act` whenever the descriptor is readable."""
        self._poller.register(fd, READABLE)
        self._handlers[fd] = _OnReady(act)

    @property
    def wakeup_fd(self) -> int:
        """For `signal.set_wakeup_fd`, so that a signal ends the wait."""
        return self._waker.writer.fileno()

    def stop(self) -> None:
        """Ends `serve`, from any thread or a signal's handler. Nothing to do if it has ended."""
        self._stopping = True
        self._waker.wake()

    # The loop

    def serve(self) -> None:
        """Serves until stopped, then closes every socket and the log."""
        gc.disable()  # with 100,000 connections one collection takes 50 ms; closed connections leave no cycles
        clock, handlers, wait = time.time_ns, self._handlers, self._poller.wait
        try:
            while not self._stopping:
                for fd, events in wait(self._wake_ns()):
                    handler = handlers.get(fd)
                    if handler is not None:
                        handler.on_ready(events)
                now_ns = clock()
                if not self._stall_ns[0] <= now_ns < self._stall_ns[1]:
                    self._send_due(now_ns)
                self._tidy(now_ns)
        finally:
            gc.enable()
            self._close()

    def _wake_ns(self) -> int:
        """When the loop has something to do by itself; -1: only when somebody calls."""
        instants = []
        if self._due:
            due_ns = self._due[0][0] + self._behaviour.grain_ns
            instants.append(max(due_ns, self._stall_ns[1]) if due_ns >= self._stall_ns[0] else due_ns)
        if self._idle:
            instants.append(self._idle[0][0])
        if self._log is not None and self._log.pending:
            instants.append(self._flush_ns)
        return min(instants, default=-1)

    def _send_due(self, now_ns: int) -> None:
        due, clock = self._due, time.time_ns
        while due and due[0][0] <= now_ns:
            _, number, stream = due[0]
            connection, index, stamps_ns = stream.connection, stream.index, stream.stamps_ns
            if connection is None:
                heapq.heappop(due)
                continue
            frame = stream.answer.frames[index]
            if frame is None:
                frame = stream.filled or stream.with_account(clock)
            if not frame:
                pass
            elif stamps_ns is None:
                connection.write(frame)
            else:
                stamps_ns.append(clock())
                connection.write(frame)
                stamps_ns.append(clock())
            stream.index = index = index + 1
            if index < len(stream.offsets_ns):
                heapq.heapreplace(due, (stream.start_ns + stream.offsets_ns[index], number, stream))
            else:
                heapq.heappop(due)
                self._finish(stream)

    def _tidy(self, now_ns: int) -> None:
        """What is done now and then: writing the log, closing idle connections."""
        if self._log is not None and self._log.pending and now_ns >= self._flush_ns:
            self._log.flush()
            self._flush_ns = now_ns + LOG_INTERVAL_NS
        while self._idle and self._idle[0][0] <= now_ns:
            _, request_count, connection = self._idle.popleft()
            if connection.is_open and connection.request_count == request_count:
                connection.close()

    def _close(self) -> None:
        self._queue.clear()
        for stream in list(self._streams.values()):
            self._retire(stream, "unfinished")
        for connection in list(self._connections.values()):
            connection.reset() if connection.is_closing else connection.close()
        for listener in self._listeners:
            listener.close()
        self._poller.close()
        self._waker.close()
        if self._log is not None:
            self._log.close()

    # Connections

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, _address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                    self._pause_accepting(error)
                    return
                continue  # the client has already given up
            sock.setblocking(False)
            channel = TlsChannel(self._tls) if self._tls is not None else None
            connection = Connection(sock, self, self._poller, channel)
            self._connections[connection.fd] = self._handlers[connection.fd] = connection

    def _pause_accepting(self, error: OSError) -> None:
        """Takes no new connections until one is closed: the waiting ones would otherwise keep the loop spinning."""
        if not self._accepting_paused:
            print(f"mock server: cannot take more connections: {error.strerror}", file=sys.stderr, flush=True)
            self._accepting_paused = True
            for listener in self._listeners:
                self._poller.unregister(listener.fileno())

    def connection_closed(self, connection: Connection) -> None:
        del self._connections[connection.fd], self._handlers[connection.fd]
        self._pipelined.pop(connection.fd, None)
        stream = self._streams.get(connection.fd)
        if stream is not None:
            self._retire(stream, "client-gone")
        if self._accepting_paused:
            self._accepting_paused = False
            for listener in self._listeners:
                self._poller.register(listener.fileno(), READABLE)

    # Requests

    def request_arrived(self, connection: Connection, received: Received) -> None:
        if connection.fd in self._streams:
            self._pipelined.setdefault(connection.fd, deque()).append(received)
            return
        decision = self._responder.decide(received)
        stream = Stream(
            connection,
            received,
            decision,
            next(self._numbers),
            logged=self._log is not None,
            gives_account=self._behaviour.gives_account,
        )
        self._streams[connection.fd] = stream
        if not decision.inference:
            self._start(stream, received.stamp_ns)
            return
        if self._behaviour.stall_at_ns >= 0 and self._stall_ns == NEVER:
            begin_ns = received.stamp_ns + self._behaviour.stall_at_ns
            self._stall_ns = (begin_ns, begin_ns + self._behaviour.stall_for_ns)
        if self._behaviour.slots and self._serving_count >= self._behaviour.slots:
            self._queue.append(stream)
            return
        self._serving_count += 1
        stream.holds_slot = True
        self._start(stream, received.stamp_ns)

    def _start(self, stream: Stream, start_ns: int) -> None:
        decision = stream.decision
        stream.start_ns = start_ns
        stream.offsets_ns = self._latency.offsets_ns(decision.answer, decision.ttft_ns, decision.itl_ns)
        heapq.heappush(self._due, (start_ns + stream.offsets_ns[0], stream.number, stream))

    def _finish(self, stream: Stream) -> None:
        """All writes are done: ends the request in the way of its answer."""
        connection, ending = stream.connection, stream.answer.ending
        assert connection is not None
        if ending == Ending.HANG:
            return
        cut = stream.answer.frames[-1] == b""
        self._retire(stream, ENDINGS[ending] if cut else "complete")
        if ending == Ending.RESET:
            connection.reset()
        elif ending == Ending.CLOSE:
            connection.close()
        elif connection.fd in self._pipelined:
            waiting = self._pipelined[connection.fd]
            received = waiting.popleft()
            if not waiting:
                del self._pipelined[connection.fd]
            self.request_arrived(connection, received)
        elif self._behaviour.idle_timeout_ns:
            deadline_ns = time.time_ns() + self._behaviour.idle_timeout_ns
            self._idle.append((deadline_ns, connection.request_count, connection))

    def _retire(self, stream: Stream, ending: str) -> None:
        """The request is over: logs it and lets the next one have its slot."""
        connection = stream.connection
        assert connection is not None
        if self._log is not None and stream.decision.inference:
            self._log.append(stream.truth(ending, self._process))
        del self._streams[connection.fd]
        stream.connection = None
        if not stream.holds_slot:
            return
        self._serving_count -= 1
        while self._queue:
            heir = self._queue.popleft()
            if heir.connection is not None:
                self._serving_count += 1
                heir.holds_slot = True
                self._start(heir, time.time_ns())
                return
