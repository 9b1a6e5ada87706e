"""The HTTP timing client: sends requests when told to and says when each byte of the answer reached this host.

Owns: the life of every exchange from `submit` to `on_end`, the reading and stamping of open connections, reuse, retry,
timeouts, cuts. Does not own: how connections are made (`dialer`), how requests are sent (`sender`), framing
(`framing`), when a request is due (the worker), what the bytes mean (the dialects). Exchanges in; exchanges filled in,
and body bytes with their interval, out.

Theory of operation
-------------------
Single-threaded, without tasks, futures or callbacks per request. All sockets are in one selector. Its descriptor is
watched by the event loop that runs everything else; when it is readable, `drain` takes one bounded batch of ready
sockets and reads each of them once. Every state change happens in `submit`, `drain`, `tick` or `cancel`.

*One read* is one `recvmsg` of up to 64 KiB. It brings the bytes and, in a control message, the kernel's arrival stamp
of the last of them. So a client that is late in reading does not make the response late; within which interval each
byte arrived is for `arrivals` to say.

*An exchange* waits for a connection (in its pool, then bound to one being made), is on an open one, or has ended:
`_in_flight` holds the first two kinds, in the order of submission, which is the order of their deadlines. It ends in
`_end` and nowhere else, and `on_end` is called there, last of all: the sink may submit, cancel or close from it.
`submit` itself never ends an exchange, so a sink that submits from `on_end` does not recurse.

*Descriptors* are closed at the end of the batch: a number freed within it could be given to a new socket and meet the
old one's event.
"""

import socket
import ssl
from collections.abc import Sequence
from itertools import takewhile
from time import monotonic_ns
from typing import TYPE_CHECKING, Literal

from aiperf.clock import RunClock
from aiperf.endpoint import stamps
from aiperf.endpoint.arrivals import Arrivals
from aiperf.endpoint.connection import Connection, Stage
from aiperf.endpoint.counters import ClientCounters
from aiperf.endpoint.dialer import Dialer
from aiperf.endpoint.drive import TICK_INTERVAL_S, Drive
from aiperf.endpoint.exchange import ErrorKind, Exchange, Outcome, Sink
from aiperf.endpoint.failures import Failure, broken_connection, closed_early, tls_failure
from aiperf.endpoint.pool import Pool
from aiperf.endpoint.response import ResponseIntake
from aiperf.endpoint.segments import forget_count
from aiperf.endpoint.selector import WRITABLE, make_selector
from aiperf.endpoint.sender import Sender, unsend
from aiperf.endpoint.settings import ClientSettings
from aiperf.endpoint.target import Target
from aiperf.endpoint.tempo import Tempo
from aiperf.endpoint.tls import TlsBuffers
from aiperf.endpoint.watches import Watches
from aiperf.units import ns_from_s

if TYPE_CHECKING:
    import asyncio

READ_BYTES = 65536
_OPEN = Stage.OPEN


class HttpClient:
    """Sends exchanges to `targets` (by their `url_index`) and tells `sink` what comes back."""

    def __init__(self, *, clock: RunClock, sink: Sink, targets: Sequence[Target], settings: ClientSettings) -> None:
        self.counters = ClientCounters()
        self._clock = clock
        self._anchor_ns = clock.anchor_ns
        self._sink = sink
        self._settings = settings
        self._request_timeout_ns = ns_from_s(settings.request_timeout_s)
        self._pooled = settings.reuse == "pooled"
        self._stamping_socket = stamps.stamping_socket(settings.timestamps)
        self._control_bytes = stamps.CONTROL_BYTES if self._stamping_socket else 0
        self._selector = make_selector(settings.selector)
        self._ready_max = self._selector.ready_max
        self._descriptor = self._selector.fileno()
        self._pools = [Pool(target) for target in targets]
        self._connections: dict[int, Connection] = {}
        """By descriptor; all that are open or being made."""
        self._in_flight: dict[Exchange, Connection | None] = {}
        self._intake = ResponseIntake(sink, settings, self.counters)
        self._take = self._intake.take
        self._tls_buffers = TlsBuffers()
        self._sender = Sender(
            anchor_ns=clock.anchor_ns,
            selector=self._selector,
            counters=self.counters,
            tls_buffers=self._tls_buffers,
            hurry=self._hurry,
        )
        self._arrivals = Arrivals(clock, self.counters)
        self._tempo = Tempo(ns_from_s(TICK_INTERVAL_S))
        self._draining = False
        self._closed = False
        self._to_close: list[socket.socket] = []
        self._drive: Drive | None = None
        self._watches = Watches(self._selector, clock, self.counters, kernel_stamps=self._stamping_socket is not None)
        self._dialer = Dialer(
            clock=clock,
            selector=self._selector,
            settings=settings,
            counters=self.counters,
            pools=self._pools,
            connections=self._connections,
            tls_buffers=self._tls_buffers,
            kernel_stamps=self._stamping_socket is not None,
            is_wanted=self._in_flight.__contains__,
            wake=self._watches.wake,
            on_open=self._on_open,
            on_failed=self._fail,
            discard=self._discard,
        )

    # What the owner sees

    @property
    def in_flight_count(self) -> int:
        """Exchanges submitted and not ended."""
        return len(self._in_flight)

    @property
    def connecting_count(self) -> int:
        return self._dialer.connecting_count

    @property
    def open_connection_count(self) -> int:
        """Connections ready for use or in use."""
        return len(self._connections) - self._dialer.connecting_count

    @property
    def timestamp_source(self) -> Literal["kernel", "user", "mixed"]:
        """Where the arrival times come from; before the first read, where they are expected to come from."""
        if not self.counters.read_count:
            return "kernel" if self._stamping_socket else "user"
        return self.counters.timestamp_source

    def observe_anew(self) -> None:
        """The measured phase begins."""
        self._tempo.count_anew(self.counters.kernel_stamped_read_count)
        self.counters.observe_anew()

    def observations(self) -> dict[str, float]:
        """What the client sees of itself, by name with unit."""
        return self.counters.observations() | {
            "in_flight_count": self.in_flight_count,
            "connecting_count": self.connecting_count,
            "open_connection_count": self.open_connection_count,
        }

    def fileno(self) -> int:
        """The descriptor that is readable while `drain` has work; -1 if the selector has none."""
        return self._descriptor

    def attach(self, loop: "asyncio.AbstractEventLoop") -> None:
        """Lets the loop drive the client from now on: registers all that it needs."""
        self._drive = Drive(
            loop,
            descriptor=self._descriptor,
            drain=self.drain,
            tick=self.tick,
            now_ns=self._clock.now_ns,
            glance_due_ns=self._glance_due_ns,
        )

    def detach(self) -> None:
        """Takes the client off its loop. Idempotent."""
        if self._drive is not None:
            self._drive.stop()
            self._drive = None

    def submit(self, exchange: Exchange) -> None:
        """Sends the exchange now, on an idle connection or a new one. Trouble becomes the exchange's outcome, later."""
        self._in_flight[exchange] = None
        idle = self._pools[exchange.url_index].idle
        if idle:
            connection, _ = idle.popitem()
            exchange.connection_reused = 1
            self._send(connection, exchange)
        elif not self._closed:
            self._hurry()
            self._dialer.dial(exchange)

    def cancel(self, exchange: Exchange, outcome: Outcome) -> None:
        """Ends the exchange as `outcome` and closes its connection; does nothing if it has ended."""
        if exchange in self._in_flight:
            self._cut_off(exchange)
            self._end(exchange, outcome, Failure(ErrorKind.CUT, ""), self._clock.now_ns())

    def cancel_all(self, outcome: Outcome) -> None:
        """Cancels what is in flight now."""
        for exchange in list(self._in_flight):
            self.cancel(exchange, outcome)

    def abandon(self, first_target: int) -> None:
        """Closes idle connections to the targets from that one on, since nothing more will be sent there."""
        for pool in self._pools[first_target:]:
            for connection in list(pool.idle):
                self._discard(connection)

    def close(self) -> None:
        """Cancels what is in flight, and what `on_end` submits meanwhile; gives everything back. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.detach()
        for connection in list(self._connections.values()):
            if connection.exchange is None:
                self._discard(connection)
        while self._in_flight:
            self.cancel_all(Outcome.CANCELLED)
        self._dialer.close()
        self._watches.close()
        if self._stamping_socket is not None:
            self._stamping_socket.close()
        self._selector.close()
        if not self._draining:
            self._close_sockets()

    def drain(self) -> bool:
        """Reads one batch of ready sockets, once each, and goes on with connections that are being made.

        Says whether there may be more: the batch was full.
        """
        started_ns = monotonic_ns()
        ready = self._selector.ready()
        polled_ns = monotonic_ns() + self._anchor_ns
        self._draining = True
        connections, receive, in_setup = self._connections, self._receive, []
        for descriptor, mask in ready:
            connection = connections.get(descriptor)
            if connection is None:
                watch = self._watches.by_descriptor.get(descriptor)
                if watch is not None:
                    watch()
            elif connection.stage is not _OPEN:
                in_setup.append((connection, mask))
            else:
                if mask & WRITABLE and connection.unsent is not None:
                    self._sender.send_rest(connection)
                if mask & ~WRITABLE:
                    receive(connection, polled_ns)
        if len(ready) < self._ready_max:
            self._arrivals.were_quiet(started_ns + self._anchor_ns)
        # After the reads: making connections is slow and must not hold up bytes that have arrived.
        for connection, mask in in_setup:
            if connections.get(connection.descriptor) is connection:
                self._dialer.proceed(connection, mask)
        if not self._closed:
            self._dialer.turn()
        self._draining = False
        if self._to_close:
            self._close_sockets()
        self.counters.drain_max_ns = max(self.counters.drain_max_ns, monotonic_ns() - started_ns)
        return len(ready) >= self._ready_max and not self._closed

    def tick(self) -> int:
        """Looks at deadlines; to be called every `TICK_INTERVAL_S`. Says how long what arrives may wait to be read."""
        now_ns = self._clock.now_ns()
        if self._overdue(now_ns):
            # What came in time while this process was too busy to look is no timeout.
            for _ in range(1 + len(self._in_flight) // self._ready_max):
                if not self.drain():
                    break
            for exchange in self._overdue(now_ns):
                text = f"no complete response within {self._settings.request_timeout_s:g} s"
                self._fail(exchange, Failure(ErrorKind.TIMEOUT, text))
        self._dialer.expire(now_ns)
        self._dialer.turn()
        return self._patience_ns(now_ns)

    def _overdue(self, now_ns: int) -> list[Exchange]:
        """Those in flight for longer than a request may take. They stand first, in the order of submission."""
        latest_ns = now_ns - self._request_timeout_ns
        return list(takewhile(lambda exchange: exchange.dispatched_ns <= latest_ns, self._in_flight))

    def _patience_ns(self, now_ns: int) -> int:
        """How long what arrives may wait to be read; 0 while connections are made or requests are half sent."""
        self._tempo.tick(self.counters.kernel_stamped_read_count)
        oldest = next(iter(self._in_flight), None)
        if oldest is None or self._dialer.connecting_count or self._sender.is_waiting:
            return 0
        oldest_age_ns = now_ns - oldest.dispatched_ns
        return self._tempo.patience_ns(in_flight_count=len(self._in_flight), oldest_age_ns=oldest_age_ns)

    def _glance_due_ns(self, now_ns: int) -> int:
        youngest = next(reversed(self._in_flight), None)
        if youngest is None or not self.counters.event_stream_count:
            return -1
        return self._arrivals.quiet_ns + self._tempo.glance_interval_ns(youngest_age_ns=now_ns - youngest.dispatched_ns)

    def _hurry(self) -> None:
        if self._drive is not None:
            self._drive.hurry()

    def _on_open(self, connection: Connection) -> None:
        exchange = connection.exchange
        assert exchange is not None
        connection.framing = self._intake.framing()
        if connection.tls is not None:
            forget_count(connection)  # the handshake's segments were not counted
        self._send(connection, exchange)

    def _send(self, connection: Connection, exchange: Exchange) -> None:
        self._in_flight[exchange] = connection
        self._sender.send(connection, exchange)

    # Receiving

    def _receive(self, connection: Connection, polled_ns: int) -> None:
        """Reads an open connection once; `polled_ns` is a clock reading before. The hot path of the product."""
        try:
            data, control, _flags, _address = connection.sock.recvmsg(READ_BYTES, self._control_bytes)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(connection, broken_connection(error))
            return
        if not data:
            self._hang_up(connection)
            return
        self._arrivals.place(connection, control, polled_ns, is_drained=len(data) < READ_BYTES)
        exchange = connection.exchange
        if exchange is None:
            self._take_unasked(connection, data)
            return
        exchange.received_bytes += len(data)
        if connection.tls is not None:
            self._take_records(connection, exchange, data)
            return
        failure = self._take(connection, exchange, data)
        if failure is not None or connection.framing.complete:
            self._conclude(connection, exchange, failure)

    def _take_unasked(self, connection: Connection, data: bytes) -> None:
        """Bytes that answer no request of ours. TLS may have something to say of itself."""
        if connection.tls is not None:
            try:
                if not any(self._tls_buffers.decrypt(connection.tls, data)):
                    return
            except ssl.SSLError as error:
                self._lose(connection, tls_failure(error, self._pools[connection.url_index].target.where))
                return
            self.counters.hang_up_count += 1
        self._discard(connection)

    def _take_records(self, connection: Connection, exchange: Exchange, data: bytes) -> None:
        assert connection.tls is not None
        try:
            plaintext, answer, closed = self._tls_buffers.decrypt(connection.tls, data)
        except ssl.SSLError as error:
            self._lose(connection, tls_failure(error, self._pools[connection.url_index].target.where))
            return
        if answer:  # to a change of keys
            self._sender.answer(connection, answer)
        if plaintext:
            failure = self._take(connection, exchange, plaintext)
            if failure is not None or connection.framing.complete:
                self._conclude(connection, exchange, failure)
        if closed and connection.exchange is exchange:
            self._hang_up(connection)

    # Ends

    def _conclude(self, connection: Connection, exchange: Exchange, failure: Failure | None) -> None:
        """The response is complete, or cannot become so; unless the sink has cut it off meanwhile."""
        if connection.exchange is not exchange:
            return
        if failure is not None:
            self._fail(exchange, failure)
        else:
            self._complete(connection, exchange)

    def _complete(self, connection: Connection, exchange: Exchange) -> None:
        """The response is complete by its framing: it ended with the arrival of its last byte (not that of the end of
        file). The connection is free before the sink is told: it may submit."""
        end_ns = connection.stamp_ns
        framing = connection.framing
        self._tempo.completed(end_ns - exchange.dispatched_ns)
        connection.exchange = None
        connection.served_count += 1
        if self._pooled and framing.keep_alive and connection.unsent is None and connection.send_error is None:
            framing.begin()
            self._release(connection)
        else:
            self._discard(connection)
        self._end(exchange, Outcome.FAILED if exchange.error_kind else Outcome.COMPLETED, None, end_ns)

    def _release(self, connection: Connection) -> None:
        """Gives the connection to the request that waits longest, else makes it idle."""
        pool = self._pools[connection.url_index]
        while pool.waiting and not pool.waiting[0].retried:
            exchange = pool.waiting.popleft()
            if exchange in self._in_flight:
                exchange.connection_reused = 1
                self._send(connection, exchange)
                return
        pool.idle[connection] = None

    def _hang_up(self, connection: Connection) -> None:
        """The server has closed its side."""
        exchange = connection.exchange
        if exchange is None:
            self.counters.hang_up_count += 1
            self._discard(connection)
        elif connection.framing.head_complete and connection.framing.ends_at_eof:
            connection.framing.keep_alive = False
            self._complete(connection, exchange)
        elif connection.send_error is not None:
            self._lose(connection, broken_connection(connection.send_error))
        else:
            self._lose(connection, closed_early(exchange.received_bytes))

    def _lose(self, connection: Connection, failure: Failure) -> None:
        """The connection is of no use any more; its exchange is tried again if the server may not have seen it."""
        exchange = connection.exchange
        if exchange is None:
            self.counters.hang_up_count += 1
            self._discard(connection)
        elif exchange.connection_reused and exchange.first_byte_ns < 0:
            self._discard(connection)
            self.counters.retry_count += 1
            unsend(exchange)
            self._in_flight[exchange] = None
            self._dialer.dial(exchange, first=True)
        else:
            self._fail(exchange, failure)

    def _fail(self, exchange: Exchange, failure: Failure) -> None:
        if exchange in self._in_flight:
            self._cut_off(exchange)
            if exchange.error_kind:  # a status that says failure outweighs how its body ended
                failure = Failure(ErrorKind(exchange.error_kind), exchange.error_text)
            self._end(exchange, Outcome.FAILED, failure, self._clock.now_ns())

    def _cut_off(self, exchange: Exchange) -> None:
        """Closes the connection that the exchange is on, or that is being made for it."""
        connection = self._in_flight[exchange] or self._dialer.abandon(exchange)
        if connection is not None:
            connection.exchange = None
            self._discard(connection)

    def _end(self, exchange: Exchange, outcome: Outcome, failure: Failure | None, end_ns: int) -> None:
        del self._in_flight[exchange]
        exchange.outcome = outcome
        if failure is not None:
            exchange.error_kind, exchange.error_text = failure
        exchange.end_ns = end_ns
        self._sink.on_end(exchange)

    def _discard(self, connection: Connection) -> None:
        """Closes the connection, at the end of the batch if there is one."""
        del self._connections[connection.descriptor]
        self._sender.forget(connection)
        self._selector.remove(connection.descriptor)
        if connection.stage == Stage.OPEN:
            self._pools[connection.url_index].idle.pop(connection, None)
        self._to_close.append(connection.sock)
        if not self._draining:
            self._close_sockets()

    def _close_sockets(self) -> None:
        for sock in self._to_close:
            sock.close()
        self._to_close.clear()
