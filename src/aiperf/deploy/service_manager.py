"""Who starts and stops the hosts of a layout.

Owns: the protocol that every deployment implements. What runs inside the hosts is the same everywhere.
"""

from typing import NamedTuple, Protocol


class HostEnded(NamedTuple):
    """A host is no more. `reason` is plain words; `expected` if it was told to leave or left in order."""

    host_id: str
    reason: str
    expected: bool


class ServiceManager(Protocol):
    outlives_operator: bool
    """Whether the hosts go on when the command that started them is gone."""

    async def start(self) -> None:
        """Starts every host. Raises: InfrastructureError if one cannot be started; those that were are stopped."""
        ...

    async def next_end(self) -> HostEnded:
        """Waits for the next host to end."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Ends every host: first by asking, after the grace by force. Idempotent."""
        ...
