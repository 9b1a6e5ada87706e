"""How connections are made: name, TCP, TLS, at a bounded pace.

Owns: sockets until they are open, the requests waiting for one, set-up times and set-up failures. Does not own: open
connections (`client`), remote addresses and their order (`pool`, `resolver`), local ones (`local_end`).

A request that finds no idle connection waits in its pool until the pace allows a connect. From then on the connection
is bound to it, so that the set-up times are its own: dispatched + blocked + DNS + connect + TLS = ready to send.
An address that fails gives way to the next one; the last one's failure is the request's.
"""

import errno
import os
import select
import socket
import ssl
from collections.abc import Callable, Sequence

from aiperf.clock import Clock
from aiperf.endpoint import stamps
from aiperf.endpoint.connection import Connection, Stage
from aiperf.endpoint.counters import ClientCounters
from aiperf.endpoint.exchange import ErrorKind, Exchange
from aiperf.endpoint.failures import (
    Failure,
    connect_failure,
    connect_timeout,
    handshake_timeout,
    is_out_of_supplies,
    nothing_listens,
    tls_failure,
)
from aiperf.endpoint.local_end import LocalEnd, is_connected_to_itself
from aiperf.endpoint.pace import Pace
from aiperf.endpoint.pool import Pool
from aiperf.endpoint.resolver import Address, Resolver
from aiperf.endpoint.selector import WRITABLE, Selector
from aiperf.endpoint.settings import ClientSettings
from aiperf.endpoint.tls import TlsBuffers
from aiperf.units import ns_from_s

_HANDSHAKE_BYTES = 65536
_RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"
"""struct linger { 1, 0 }: the connection leaves nothing behind."""


class Dialer:
    """Makes connections. Tells `on_open(connection)` or `on_failed(exchange, failure)`, never from within `dial`."""

    def __init__(
        self,
        *,
        clock: Clock,
        selector: Selector,
        settings: ClientSettings,
        counters: ClientCounters,
        pools: Sequence[Pool],
        connections: dict[int, Connection],
        tls_buffers: TlsBuffers,
        kernel_stamps: bool,
        is_wanted: Callable[[Exchange], bool],
        wake: Callable[[], None],
        on_open: Callable[[Connection], None],
        on_failed: Callable[[Exchange, Failure], None],
        discard: Callable[[Connection], None],
    ) -> None:
        self._clock = clock
        self._selector = selector
        self._settings = settings
        self._counters = counters
        self._pools = pools
        self._connections = connections
        self._tls_buffers = tls_buffers
        self._kernel_stamps = kernel_stamps
        self._is_wanted = is_wanted
        self._wake = wake
        self._on_open = on_open
        self._on_failed = on_failed
        self._discard = discard
        self._resolver = Resolver(wake)
        self._local_end = LocalEnd(settings.source_addresses, settings.port_share)
        self._connect_timeout_ns = ns_from_s(settings.connect_timeout_s)
        self._connecting: dict[Connection, None] = {}
        """In the order in which their present attempts began."""
        self._looked_ns = 0
        """When `expire` was called last."""
        self._failed: list[tuple[Exchange, Failure]] = []
        """To be told at the next turn."""
        self._connects_left = settings.connects_per_tick
        self._handshakes_left = settings.handshakes_per_tick
        self._pace = Pace(settings.connects_per_s)
        self._next_pool = 0
        """Whose turn it is. Were the whole pace given to one target after the other, its queue might overflow."""

    @property
    def connecting_count(self) -> int:
        return len(self._connecting)

    def dial(self, exchange: Exchange, *, first: bool = False) -> None:
        """Gets a connection for the exchange as soon as the pace allows; `first`: ahead of those that wait."""
        pool = self._pools[exchange.url_index]
        if first:
            pool.waiting.appendleft(exchange)
        else:
            pool.waiting.append(exchange)
        self._begin_connect(pool)

    def turn(self) -> None:
        """Once per turn of the event loop: tells failures, takes up finished lookups, begins what the pace allows."""
        self._connects_left = self._settings.connects_per_tick
        self._handshakes_left = self._settings.handshakes_per_tick
        for url_index, result in self._resolver.finished():
            self._take_addresses(self._pools[url_index], result)
        self._connect_in_turn()
        if self._failed:
            failed, self._failed = self._failed, []
            for exchange, failure in failed:
                self._on_failed(exchange, failure)

    def proceed(self, connection: Connection, mask: int) -> None:
        """Goes on with a connection that is not open yet and whose socket is ready."""
        if connection.stage == Stage.CONNECTING:
            code = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._attempt_failed(
                    connection, connect_failure(OSError(code, os.strerror(code)), self._where(connection))
                )
            elif mask & WRITABLE:
                self._connected(connection)
        elif self._handshakes_left > 0:
            try:
                received = connection.sock.recv(_HANDSHAKE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._attempt_failed(connection, connect_failure(error, self._where(connection)))
                return
            if received:
                self._shake_hands(connection, received)
            else:
                where = self._where(connection)
                self._attempt_failed(
                    connection, Failure(ErrorKind.TLS, f"{where} closed the connection during the handshake")
                )

    def abandon(self, exchange: Exchange) -> Connection | None:
        """Gives up making a connection for the exchange; the caller discards the one begun, if there is one."""
        for connection in self._connecting:
            if connection.exchange is exchange:
                del self._connecting[connection]
                return connection
        return None

    def close(self) -> None:
        """Forgets all requests that wait."""
        for pool in self._pools:
            pool.waiting.clear()
        self._failed.clear()

    def expire(self, now_ns: int) -> None:
        """Ends attempts, TLS included, that take too long.

        One that was answered while this process was too busy to look goes on: at the first look after its time is up,
        or as long as its answer waits for its turn here. A server that answers byte by byte gets no further time.
        """
        looked_ns, self._looked_ns = self._looked_ns, now_ns
        late = []
        for connection in self._connecting:
            if now_ns - connection.attempt_started_ns < self._connect_timeout_ns:
                break
            late.append(connection)
        for connection in late:
            if _has_news(connection):
                is_first_look = connection.attempt_started_ns + self._connect_timeout_ns > looked_ns
                waits_for_turn = connection.stage == Stage.HANDSHAKING and self._handshakes_left <= 0
                self.proceed(connection, WRITABLE)
                if is_first_look or waits_for_turn or not self._is_late(connection, now_ns):
                    continue
            self._attempt_failed(connection, self._timeout(connection))

    def _is_late(self, connection: Connection, now_ns: int) -> bool:
        """Its present attempt still goes on, and should have ended."""
        return connection in self._connecting and now_ns - connection.attempt_started_ns >= self._connect_timeout_ns

    def _timeout(self, connection: Connection) -> Failure:
        failure = connect_timeout if connection.stage == Stage.CONNECTING else handshake_timeout
        return failure(self._where(connection), self._settings.connect_timeout_s)

    def _where(self, connection: Connection) -> str:
        return self._pools[connection.url_index].target.where

    # Names

    def _look_up(self, pool: Pool) -> None:
        pool.lookup_running = True
        pool.lookup_started_ns = self._clock.now_ns()
        self._resolver.look_up(self._pools.index(pool), pool.target.host, pool.target.port)

    def _take_addresses(self, pool: Pool, result: list[Address] | Failure) -> None:
        pool.lookup_running = False
        pool.lookup_ended_ns = self._clock.now_ns()
        if isinstance(result, Failure):
            for exchange in pool.waiting:
                exchange.dns_ns = pool.lookup_overlap_ns(exchange.dispatched_ns)
                self._failed.append((exchange, result))
            pool.waiting.clear()
        else:
            pool.addresses = result

    # TCP

    def _connect_in_turn(self) -> None:
        """One connection for each target after the other, as long as there is something that may begin."""
        passed = 0
        while passed < len(self._pools):
            pool = self._pools[self._next_pool]
            passed = 0 if pool.waiting and self._begin_connect(pool) else passed + 1
            self._next_pool = (self._next_pool + 1) % len(self._pools)

    def _begin_connect(self, pool: Pool) -> bool:
        """Begins to connect for the request that waits longest, if that may be; says whether it did."""
        waiting = pool.waiting
        if self._connects_left <= 0 or len(self._connecting) >= self._settings.connects_in_progress_max:
            return False
        if not pool.addresses:
            if not pool.lookup_running:
                self._look_up(pool)
            return False
        while waiting and not self._is_wanted(waiting[0]):
            waiting.popleft()
        now_ns = self._clock.now_ns()
        if not waiting or not self._pace.permits(now_ns):
            return False  # `turn` comes again within 50 ms.
        exchange = waiting.popleft()
        self._connects_left -= 1
        exchange.dns_ns = pool.lookup_overlap_ns(exchange.dispatched_ns)
        exchange.blocked_ns = now_ns - exchange.dispatched_ns - exchange.dns_ns
        self._attempt(Connection(exchange, pool.candidates(), now_ns))
        return True

    def _attempt(self, connection: Connection) -> None:
        """Begins to connect to the first candidate."""
        try:
            sock, code = self._local_end.connect(connection.candidates[0], self._prepare)
            if code and code != errno.EINPROGRESS:
                sock.close()
                raise OSError(code, os.strerror(code))
        except OSError as error:
            self._try_next(connection, connect_failure(error, self._where(connection)), over=is_out_of_supplies(error))
            return
        connection.sock = sock
        connection.descriptor = sock.fileno()
        connection.stage = Stage.CONNECTING
        self._connecting[connection] = None
        self._connections[connection.descriptor] = connection
        self._selector.add(connection.descriptor, writable=True)

    def _prepare(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._kernel_stamps:
            stamps.enable(sock)

    def _attempt_failed(self, connection: Connection, failure: Failure) -> None:
        """Gives up the socket of this attempt."""
        del self._connecting[connection]
        self._discard(connection)
        self._try_next(connection, failure, over=failure.kind == ErrorKind.TLS)

    def _try_next(self, connection: Connection, failure: Failure, *, over: bool) -> None:
        """Goes on to the next candidate, unless it is over: another address would not mend it."""
        self._counters.connect_failure_count += 1
        if len(connection.candidates) > 1 and not over:
            connection.candidates = connection.candidates[1:]
            connection.tls = None
            connection.attempt_started_ns = self._clock.now_ns()
            self._attempt(connection)
        else:
            self._out_of_candidates(connection, failure)

    def _out_of_candidates(self, connection: Connection, failure: Failure) -> None:
        exchange = connection.exchange
        assert exchange is not None
        now_ns = self._clock.now_ns()
        if connection.connected_ns:
            exchange.tls_ns = now_ns - connection.connected_ns
        else:
            exchange.connect_ns = now_ns - connection.dial_started_ns
        if failure.kind != ErrorKind.CLIENT_RESOURCE:
            self._pools[connection.url_index].all_failed(now_ns)
        self._failed.append((exchange, failure))
        self._wake()

    def _connected(self, connection: Connection) -> None:
        if is_connected_to_itself(connection.sock, connection.candidates[0]):
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._attempt_failed(connection, nothing_listens(self._where(connection)))
            return
        exchange = connection.exchange
        assert exchange is not None
        pool = self._pools[connection.url_index]
        connection.connected_ns = self._clock.now_ns()
        exchange.connect_ns = connection.connected_ns - connection.dial_started_ns
        pool.connected_to(connection.candidates[0])
        self._selector.change(connection.descriptor, writable=False)
        context = pool.target.tls
        if context is None:
            self._opened(connection)
        else:
            connection.stage = Stage.HANDSHAKING
            connection.tls = self._tls_buffers.session(context, pool.target.host)
            self._shake_hands(connection, b"")

    # TLS

    def _shake_hands(self, connection: Connection, received: bytes) -> None:
        self._handshakes_left -= 1
        exchange, session = connection.exchange, connection.tls
        assert exchange is not None
        assert session is not None
        try:
            done, answer = self._tls_buffers.handshake(session, received)
        except ssl.SSLError as error:
            self._attempt_failed(connection, tls_failure(error, self._where(connection)))
            return
        try:
            # A flight of a handshake is a few KB and the socket's buffer is empty: it is taken whole.
            if answer and connection.sock.send(answer) < len(answer):
                raise OSError(errno.ENOBUFS, "handshake not taken")
        except OSError as error:
            self._attempt_failed(connection, connect_failure(error, self._where(connection)))
            return
        if done:
            exchange.tls_ns = self._clock.now_ns() - connection.connected_ns
            self._opened(connection)

    def _opened(self, connection: Connection) -> None:
        del self._connecting[connection]
        connection.candidates = ()
        connection.stage = Stage.OPEN
        self._counters.connection_count += 1
        self._on_open(connection)


def _has_news(connection: Connection) -> bool:
    """Whether the socket has connected, failed, or received something that nobody has looked at yet."""
    watch = select.poll()
    watch.register(connection.sock, select.POLLOUT if connection.stage == Stage.CONNECTING else select.POLLIN)
    return bool(watch.poll(0))
