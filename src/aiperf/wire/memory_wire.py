"""The wire inside one process: the same ports on plain queues.

Product code, not a test helper: the `memory` layout runs real services on it. It keeps the real wire's promises (order
per pair, refusal by an absent peer, the bound of a funnel), so that tests on it mean something.
"""

import asyncio
from collections import deque

from aiperf.wire.ports import FUNNEL_BOUND_MESSAGES, Frames, Pattern

_Box = asyncio.Queue[tuple[str, list[bytes]]]


class _Place:
    """What lies behind one address: the binder's inbox, where early messages wait, and the connectors' inboxes."""

    def __init__(self) -> None:
        self.inbox: _Box = asyncio.Queue()
        self.connectors: dict[str, _Box] = {}


class MemoryPort:
    def __init__(self, places: list[_Place], inbox: _Box, *, name: str, binder: bool, bound: int) -> None:
        self._places = places
        self._inbox = inbox
        self._name = name
        self._binder = binder
        self._bound = bound

    def send(self, frames: Frames, to: str = "") -> bool:
        message = [bytes(frame) for frame in frames]
        if self._binder:
            for place in self._places:
                if (box := place.connectors.get(to)) is not None:
                    box.put_nowait(("", message))
                    return True
            return False
        (place,) = self._places
        if self._bound and place.inbox.qsize() >= self._bound:
            return False
        place.inbox.put_nowait((self._name, message))
        return True

    async def receive(self) -> tuple[str, list[bytes]]:
        return await self._inbox.get()

    def close(self) -> None:
        if not self._binder:
            for place in self._places:
                place.connectors.pop(self._name, None)


class MemoryWire:
    """Makes ports that meet in this object. Nobody is woken up here, so there is nothing to gather."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._ports: deque[MemoryPort] = deque()

    def bind(
        self,
        pattern: Pattern,
        *addresses: str,
        bound: int = FUNNEL_BOUND_MESSAGES,
        gather_s: float = 0.0,  # noqa: ARG002 (nothing to gather)
    ) -> MemoryPort:
        inbox: _Box = asyncio.Queue()
        places = []
        for address in addresses:
            place = self._places.setdefault(address, _Place())
            while not place.inbox.empty():
                inbox.put_nowait(place.inbox.get_nowait())
            place.inbox = inbox
            places.append(place)
        return self._keep(MemoryPort(places, inbox, name="", binder=True, bound=_bound(pattern, bound)))

    def connect(
        self,
        pattern: Pattern,
        address: str,
        name: str,
        bound: int = FUNNEL_BOUND_MESSAGES,
        gather_s: float = 0.0,  # noqa: ARG002
    ) -> MemoryPort:
        place = self._places.setdefault(address, _Place())
        inbox: _Box = asyncio.Queue()
        if pattern is Pattern.DIALOGUE:
            place.connectors[name] = inbox
        sender = name if pattern is Pattern.DIALOGUE else ""
        return self._keep(MemoryPort([place], inbox, name=sender, binder=False, bound=_bound(pattern, bound)))

    def close(self) -> None:
        while self._ports:
            self._ports.popleft().close()

    def _keep(self, port: MemoryPort) -> MemoryPort:
        self._ports.append(port)
        return port


def _bound(pattern: Pattern, bound: int) -> int:
    """There is one queue where the real wire has one on each side."""
    return 2 * bound if pattern is Pattern.FUNNEL else 0
