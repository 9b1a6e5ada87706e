"""The wire over ZeroMQ: in-process, IPC or TCP by the address's scheme.

Owns: sockets, their options and their marriage with the event loop. Does not own: what is said (`messages`), who may
take part (`curve`).

A socket that meets others beyond this machine or pod (`address.is_exposed`) is encrypted and closed to everybody who
has not the run's keys; without keys it is not made at all. In-process connections to it stay plain. Names are looked up
by ZeroMQ's thread at each attempt to connect, so one that does not resolve yet is tried again (docs/decisions/0040).

A ZeroMQ socket's descriptor says that something happened to the socket, not that there is a message: it stays readable
until the socket is used or asked for its `EVENTS`, and sending uses the socket, too. So a port asks when the descriptor
is readable (an event loop would spin on it else: a sender's acknowledgements made a record processor burn 70 % of a
core) and after a send while somebody waits for a message, and tries to receive before it waits. A port that only sends
does not watch it at all. That is all there is to it, and it spares the two extra futures per message that a generic
asyncio wrapper needs.

The controller pays by the message, so a port spares it what pyzmq does beyond the call. In µs, of one and six frames:
pyzmq's `send_multipart` 1.7 and 10.8, a loop over the basic `send` 0.5 and 2.1; `recv_multipart`, which asks for
RCVMORE after every frame, 3.8 and 11.4, frames that know it 2.1 and 7.0; each question for `EVENTS` 2.1.
And waking up for a message costs more than taking it: a port with thousands of peers may gather for some milliseconds
what comes, and take it in one go (`gather_s`).
"""

import asyncio
from collections.abc import Sequence

import zmq

from aiperf.errors import InfrastructureError
from aiperf.wire.address import is_exposed, is_tcp
from aiperf.wire.curve import ZAP_ADDRESS, WireKeys, judge, secure
from aiperf.wire.ports import FUNNEL_BOUND_MESSAGES, Frames, Pattern

LINGER_MS = 2_000
"""How long a closing process may take to hand over its last messages to a peer that still reads."""

RECONNECT_MAX_MS = 500
RECONNECT_MAX_TCP_MS = 1_000
"""How far apart attempts to connect become. Over TCP each costs a name look-up, and there may be thousands of peers."""

HANDSHAKE_LIMIT_MS = 10_000
"""For a peer that connects and says nothing, or not enough."""

KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 4, 2, 3
UNHEARD_LIMIT_MS = 10_000
"""Of dialogues over TCP: the kernels ask each other when nothing was said for so long, and give a connection up when
what was sent stays without acknowledgement for the limit. Then it is made anew; sooner than the worker manager gives
up a service (15 s at the least), so a broken connection is mended before. Not by ZeroMQ's own heartbeats: a binder pays
for each question with two system calls, and for each message of a peer whose silence it times with a walk through the
timers of all peers (libzmq, `cancel_timer`): with 2,000 pods half a CPU. That a process hangs, our heartbeats tell."""

PATIENT_KEEPALIVE_IDLE_S, PATIENT_KEEPALIVE_INTERVAL_S = 15, 5
"""Of funnels, without a limit for what is not acknowledged: a receiver that is behind reads nothing and is not gone."""

BACKLOG = 4_096
"""Connections that wait to be taken: thousands of pods start at once. ZeroMQ's own 100 are full in a moment, and who
finds them full tries again a second later, then two, four. The kernel allows 4,096 unless told otherwise."""

TAKEN_PER_TURN = 64
"""A full inbox must not keep others of the event loop waiting: thousands of services register at once."""

_SOCKETS = {
    Pattern.DIALOGUE: (zmq.ROUTER, zmq.DEALER),
    Pattern.FUNNEL: (zmq.PULL, zmq.PUSH),
}


_NO_BLOCK = int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)


class ZmqPort:
    """A port on one ZeroMQ socket, driven by the running event loop."""

    def __init__(self, socket: "zmq.Socket[bytes]", *, addressed: bool, receives: bool, gather_s: float = 0.0) -> None:
        self._socket = socket
        self._gather_s = gather_s
        self._is_gathering = False
        self._taken_count = 0
        self._addressed = addressed
        self._receives = receives
        # The basic call beneath pyzmq's wrapper, which looks for routing ids and groups of other kinds of socket.
        self._send_frame = super(zmq.Socket, socket).send
        self._readable = asyncio.Event()
        self._is_awaited = False
        self._loop = asyncio.get_running_loop()
        self._descriptor = int(socket.getsockopt(zmq.FD))
        if receives:
            self._loop.add_reader(self._descriptor, self._look)

    def send(self, frames: Frames, to: str = "") -> bool:
        send = self._send_frame
        try:
            if self._addressed:
                send(to.encode(), _MORE)
            for frame in frames[:-1]:
                send(frame, _MORE)
            send(frames[-1], _NO_BLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno in (zmq.EHOSTUNREACH, zmq.ENOTSOCK):
                return False
            raise
        if self._is_awaited and not self._is_gathering:
            self._look()
        return True

    def _look(self) -> None:
        if int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            if self._gather_s:
                # Not watched meanwhile: each peer's first message would wake the loop.
                self._is_gathering = True
                self._loop.remove_reader(self._descriptor)
                self._loop.call_later(self._gather_s, self._readable.set)
            else:
                self._readable.set()

    async def receive(self) -> tuple[str, list[bytes]]:
        self._taken_count += 1
        if not self._taken_count % TAKEN_PER_TURN:
            await asyncio.sleep(0)
        while True:
            self._readable.clear()
            try:
                frames = self._take()
            except zmq.Again:
                if self._is_gathering:
                    self._is_gathering = False
                    self._loop.add_reader(self._descriptor, self._look)
                self._is_awaited = True
                try:
                    await self._readable.wait()
                finally:
                    self._is_awaited = False
                continue
            if self._addressed:
                return frames[0].decode(), frames[1:]
            return "", frames

    def _take(self) -> list[bytes]:
        frame = self._socket.recv(_NO_BLOCK, copy=False)
        frames = [frame.bytes]
        while frame.more:
            frame = self._socket.recv(_NO_BLOCK, copy=False)
            frames.append(frame.bytes)
        return frames

    def close(self) -> None:
        if not self._socket.closed:
            if self._receives:
                self._loop.remove_reader(self._descriptor)
            self._socket.close(LINGER_MS)


class ZmqWire:
    """Makes ZeroMQ ports. Must be created, used and closed inside a running event loop."""

    def __init__(self, keys: WireKeys | None = None) -> None:
        """`keys`: the run's; needed as soon as an address is exposed."""
        self._context = zmq.Context()
        self._keys = keys
        self._gate: asyncio.Task[None] | None = None
        self._ports: list[ZmqPort] = []

    def bind(
        self, pattern: Pattern, *addresses: str, bound: int = FUNNEL_BOUND_MESSAGES, gather_s: float = 0.0
    ) -> ZmqPort:
        """A socket that listens on an exposed address wants keys on its other addresses, too, but for `inproc`."""
        socket = self._socket(_SOCKETS[pattern][0], addresses, bound, binds=True)
        socket.setsockopt(zmq.BACKLOG, BACKLOG)
        if pattern is Pattern.DIALOGUE:
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        for address in addresses:
            try:
                socket.bind(address)
            except zmq.ZMQError as error:
                socket.close(0)
                raise InfrastructureError(f"cannot listen on {address}: {error.strerror}") from error
        return self._port(socket, addressed=pattern is Pattern.DIALOGUE, receives=True, gather_s=gather_s)

    def connect(
        self,
        pattern: Pattern,
        address: str,
        name: str,
        bound: int = FUNNEL_BOUND_MESSAGES,
        gather_s: float = 0.0,
    ) -> ZmqPort:
        socket = self._socket(_SOCKETS[pattern][1], [address], bound, binds=False)
        socket.setsockopt(zmq.IDENTITY, name.encode())
        socket.connect(address)
        return self._port(socket, addressed=False, receives=pattern is Pattern.DIALOGUE, gather_s=gather_s)

    def close(self) -> None:
        if self._gate is not None:
            self._gate.cancel()
        for port in self._ports:
            port.close()
        self._context.term()

    def _socket(self, kind: int, addresses: Sequence[str], bound: int, *, binds: bool) -> "zmq.Socket[bytes]":
        """Raises: InfrastructureError if an address is exposed and there are no keys."""
        exposed = [address for address in addresses if is_exposed(address)]
        if exposed and self._keys is None:
            raise InfrastructureError(f"{exposed[0]} can be reached from elsewhere, and this process has no wire keys")
        socket = self._context.socket(kind)
        # Dialogues are bounded by their protocol (credits in hand, one status a period); funnels by this mark.
        bound = bound if kind in (zmq.PULL, zmq.PUSH) else 0
        socket.setsockopt(zmq.SNDHWM, bound)
        socket.setsockopt(zmq.RCVHWM, bound)
        # Peers start in any order: try again quickly, and not ever more slowly.
        socket.setsockopt(zmq.RECONNECT_IVL, 10)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        if any(is_tcp(address) for address in addresses):
            _prepare_for_tcp(socket, kind)
        if exposed and self._keys is not None:
            if binds:
                self._open_gate(self._keys)
            secure(socket, self._keys, binds=binds)
        return socket

    def _open_gate(self, keys: WireKeys) -> None:
        """Peers are judged from now on; once is enough for all sockets."""
        if self._gate is None:
            socket = self._context.socket(zmq.REP)
            socket.bind(ZAP_ADDRESS)
            port = self._port(socket, addressed=False, receives=True)
            self._gate = asyncio.create_task(_keep_gate(port, keys))

    def _port(self, socket: "zmq.Socket[bytes]", *, addressed: bool, receives: bool, gather_s: float = 0.0) -> ZmqPort:
        port = ZmqPort(socket, addressed=addressed, receives=receives, gather_s=gather_s)
        self._ports.append(port)
        return port


async def _keep_gate(port: ZmqPort, keys: WireKeys) -> None:
    while True:
        _, question = await port.receive()
        port.send(judge(question, keys))


def _prepare_for_tcp(socket: "zmq.Socket[bytes]", kind: int) -> None:
    """What matters when a peer's machine can vanish, or has addresses of the sixth version only."""
    socket.setsockopt(zmq.IPV6, 1)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_TCP_MS)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_LIMIT_MS)
    is_funnel = kind in (zmq.PULL, zmq.PUSH)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, PATIENT_KEEPALIVE_IDLE_S if is_funnel else KEEPALIVE_IDLE_S)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, PATIENT_KEEPALIVE_INTERVAL_S if is_funnel else KEEPALIVE_INTERVAL_S)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT)
    if not is_funnel:
        socket.setsockopt(zmq.TCP_MAXRT, UNHEARD_LIMIT_MS)
