"""How a request leaves: in one `send` on an open connection, the rest when the socket takes more.

Owns: the stamps of sending, encryption, short sends, what becomes of a send that fails. Does not own: which connection
(`client`), reading, making connections (`dialer`).

`sent_ns` is the clock just before the `send`. (A clock read after it would be useless: the loopback delivers within the
call, and the sender may be preempted in it.)

A send that fails ends nothing: there may be a response, and there will be an end of file, which the reading side sees.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic_ns

from aiperf.endpoint.connection import Connection
from aiperf.endpoint.counters import ClientCounters
from aiperf.endpoint.exchange import Exchange
from aiperf.endpoint.selector import Selector
from aiperf.endpoint.tls import TlsBuffers


class Sender:
    """Sends the requests of a client. `hurry` is called when a socket is to be watched for taking more."""

    __slots__ = ("_anchor_ns", "_counters", "_half_sent", "_hurry", "_selector", "_tls_buffers")

    def __init__(
        self,
        *,
        anchor_ns: int,
        selector: Selector,
        counters: ClientCounters,
        tls_buffers: TlsBuffers,
        hurry: Callable[[], None],
    ) -> None:
        """`anchor_ns`: the run clock minus the monotonic one."""
        self._anchor_ns = anchor_ns
        self._selector = selector
        self._counters = counters
        self._tls_buffers = tls_buffers
        self._hurry = hurry
        self._half_sent: set[Connection] = set()

    @property
    def is_waiting(self) -> bool:
        """Some request is sent in part only."""
        return bool(self._half_sent)

    def send(self, connection: Connection, exchange: Exchange) -> None:
        """Sends the request of `exchange`, which has the connection from now on."""
        connection.exchange = exchange
        request = exchange.head + exchange.body
        if not exchange.connection_reused:
            exchange.let_go()  # only an idle connection may be found dead, and the request be sent again
        try:
            if connection.tls is not None:
                request = self._tls_buffers.encrypt(connection.tls, request)
            connection.stamp_ns = connection.empty_ns = exchange.sent_ns = monotonic_ns() + self._anchor_ns
            taken_bytes = connection.sock.send(request)
        except BlockingIOError:
            taken_bytes = 0
        except OSError as error:
            self._give_up(connection, error)
            return
        exchange.sent_bytes = taken_bytes
        if exchange.connection_reused:
            exchange.blocked_ns = exchange.sent_ns - exchange.dispatched_ns
        if taken_bytes == len(request):
            exchange.send_done_ns = monotonic_ns() + self._anchor_ns
        else:
            self._counters.short_send_count += 1
            self._counters.short_send_bytes += len(request) - taken_bytes
            self.leave_unsent(connection, memoryview(request)[taken_bytes:])

    def leave_unsent(self, connection: Connection, rest: memoryview) -> None:
        """The rest follows when the socket takes more."""
        connection.unsent = rest
        self._half_sent.add(connection)
        self._selector.change(connection.descriptor, writable=True)
        self._hurry()

    def answer(self, connection: Connection, records: bytes) -> None:
        """Sends TLS records of our own; behind what is still to be sent, for records must stay in order."""
        self.leave_unsent(connection, memoryview(bytes(connection.unsent or b"") + records))

    def send_rest(self, connection: Connection) -> None:
        """The socket takes more."""
        exchange, unsent = connection.exchange, connection.unsent
        assert unsent is not None
        try:
            taken_bytes = connection.sock.send(unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._selector.change(connection.descriptor, writable=False)
            self._give_up(connection, error)
            return
        if exchange is not None:
            exchange.sent_bytes += taken_bytes
        if taken_bytes < len(unsent):
            connection.unsent = unsent[taken_bytes:]
            return
        self._all_sent(connection)
        self._selector.change(connection.descriptor, writable=False)
        if exchange is not None and exchange.send_done_ns < 0:
            exchange.send_done_ns = monotonic_ns() + self._anchor_ns

    def forget(self, connection: Connection) -> None:
        """It is being closed."""
        self._half_sent.discard(connection)

    def _all_sent(self, connection: Connection) -> None:
        """Nothing more is to be sent on it, or can be."""
        connection.unsent = None
        self._half_sent.discard(connection)

    def _give_up(self, connection: Connection, error: OSError) -> None:
        self._all_sent(connection)
        connection.send_error = error
        if not isinstance(error, (BrokenPipeError, ConnectionResetError)):
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)  # makes the end of file


def unsend(exchange: Exchange) -> None:
    """Makes as if it had never been sent: it is tried again, once, on a fresh connection."""
    exchange.retried = 1
    exchange.connection_reused = exchange.sent_bytes = exchange.received_bytes = 0
    exchange.sent_ns = exchange.send_done_ns = -1
