"""What the services see of the wire: ports on named channels.

Owns: the two protocols that the real wire (`zmq_wire`) and its in-memory double (`memory_wire`) implement, and the
channels' patterns. Does not own: messages, addresses (the layout decides those).
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Protocol

Frames = Sequence[Any]
"""A message's parts: bytes or anything with the buffer protocol."""


FUNNEL_BOUND_MESSAGES = 64
"""Per side of a funnel and sender, unless told otherwise. A slice is at most a few hundred KB, so a slow receiver holds
some tens of MB, no more."""


class Pattern(Enum):
    """How the two sides of a channel relate."""

    DIALOGUE = "dialogue"
    """One binder, many named connectors; both sides send. The binder addresses a connector by its name."""
    FUNNEL = "funnel"
    """Many connectors send to one binder. Bounded: a sender is refused while the binder does not keep up."""


class Port(Protocol):
    """One end of a channel."""

    def send(self, frames: Frames, to: str = "") -> bool:
        """Hands the message to the wire without waiting.

        `to` names the receiver on the binding side of a dialogue. False if it was refused: the receiver is not (or no
        longer) connected, or the bound of a funnel is reached.
        """
        ...

    async def receive(self) -> tuple[str, list[bytes]]:
        """The next message and its sender's name (empty but on the binding side of a dialogue)."""
        ...

    def close(self) -> None:
        """Lets go of the channel. Messages handed over before are still delivered."""
        ...


class Wire(Protocol):
    """Makes ports. One per process."""

    def bind(
        self, pattern: Pattern, *addresses: str, bound: int = FUNNEL_BOUND_MESSAGES, gather_s: float = 0.0
    ) -> Port:
        """The binding side. `bound`: of a funnel, how many messages of each sender may wait here.

        `gather_s`: a first message may wait so long for others, so that one waking up serves them all.
        Raises: InfrastructureError if an address cannot be bound.
        """
        ...

    def connect(
        self,
        pattern: Pattern,
        address: str,
        name: str,
        bound: int = FUNNEL_BOUND_MESSAGES,
        gather_s: float = 0.0,
    ) -> Port:
        """A connecting side called `name`. The binder may appear later. The others: as of `bind`, on this side."""
        ...

    def close(self) -> None: ...
