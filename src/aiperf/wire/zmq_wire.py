"""The wire over ZeroMQ: in-process, IPC or TCP by the address's scheme.

Owns: sockets, their options and their marriage with the event loop. Does not own: what is said (`messages`).

A ZeroMQ socket's descriptor says that something happened to the socket, not that there is a message: it stays readable
until the socket is used or asked for its `EVENTS`, and sending uses the socket, too. So a port asks when the descriptor
is readable (an event loop would spin on it else: a sender's acknowledgements made a record processor burn 70 % of a
core) and after every send, and tries to receive before it waits. A port that only sends does not watch it at all. That
is all there is to it, and it spares the two extra futures per message that a generic asyncio wrapper needs.
"""

import asyncio

import zmq

from aiperf.errors import InfrastructureError
from aiperf.wire.ports import Frames, Pattern

FUNNEL_BOUND_MESSAGES = 64
"""Per side of a funnel. A slice is at most a few hundred KB, so a slow receiver holds some tens of MB, no more."""

LINGER_MS = 2_000
"""How long a closing process may take to hand over its last messages to a peer that still reads."""

_SOCKETS = {
    Pattern.DIALOGUE: (zmq.ROUTER, zmq.DEALER),
    Pattern.FUNNEL: (zmq.PULL, zmq.PUSH),
}


class ZmqPort:
    """A port on one ZeroMQ socket, driven by the running event loop."""

    def __init__(self, socket: "zmq.Socket[bytes]", *, addressed: bool, receives: bool) -> None:
        self._socket = socket
        self._addressed = addressed
        self._receives = receives
        self._readable = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._descriptor = int(socket.getsockopt(zmq.FD))
        if receives:
            self._loop.add_reader(self._descriptor, self._look)

    def send(self, frames: Frames, to: str = "") -> bool:
        try:
            self._socket.send_multipart([to.encode(), *frames] if self._addressed else frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno in (zmq.EHOSTUNREACH, zmq.ENOTSOCK):
                return False
            raise
        if self._receives:
            self._look()
        return True

    def _look(self) -> None:
        if int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._readable.set()

    async def receive(self) -> tuple[str, list[bytes]]:
        while True:
            self._readable.clear()
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                await self._readable.wait()
                continue
            if self._addressed:
                return frames[0].decode(), frames[1:]
            return "", frames

    def close(self) -> None:
        if not self._socket.closed:
            if self._receives:
                self._loop.remove_reader(self._descriptor)
            self._socket.close(LINGER_MS)


class ZmqWire:
    """Makes ZeroMQ ports. Must be created, used and closed inside a running event loop."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._ports: list[ZmqPort] = []

    def bind(self, pattern: Pattern, *addresses: str) -> ZmqPort:
        socket = self._socket(_SOCKETS[pattern][0])
        if pattern is Pattern.DIALOGUE:
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        for address in addresses:
            try:
                socket.bind(address)
            except zmq.ZMQError as error:
                socket.close(0)
                raise InfrastructureError(f"cannot listen on {address}: {error.strerror}") from error
        return self._port(socket, addressed=pattern is Pattern.DIALOGUE, receives=True)

    def connect(self, pattern: Pattern, address: str, name: str) -> ZmqPort:
        socket = self._socket(_SOCKETS[pattern][1])
        socket.setsockopt(zmq.IDENTITY, name.encode())
        socket.connect(address)
        return self._port(socket, addressed=False, receives=pattern is Pattern.DIALOGUE)

    def close(self) -> None:
        for port in self._ports:
            port.close()
        self._context.term()

    def _socket(self, kind: int) -> "zmq.Socket[bytes]":
        socket = self._context.socket(kind)
        # Dialogues are bounded by their protocol (credits in hand, one status a period); funnels by this mark.
        bound = FUNNEL_BOUND_MESSAGES if kind in (zmq.PULL, zmq.PUSH) else 0
        socket.setsockopt(zmq.SNDHWM, bound)
        socket.setsockopt(zmq.RCVHWM, bound)
        # Peers start in any order: try again quickly, and not ever more slowly.
        socket.setsockopt(zmq.RECONNECT_IVL, 10)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        return socket

    def _port(self, socket: "zmq.Socket[bytes]", *, addressed: bool, receives: bool) -> ZmqPort:
        port = ZmqPort(socket, addressed=addressed, receives=receives)
        self._ports.append(port)
        return port
