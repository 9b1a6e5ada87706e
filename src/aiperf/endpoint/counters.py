"""What the HTTP client observes of itself: plain counts, for the verdict and for the health shown live."""

from dataclasses import dataclass
from typing import Literal

from aiperf.units import NS_PER_MS


@dataclass(slots=True)
class ClientCounters:
    kernel_stamped_read_count: int = 0
    user_stamped_read_count: int = 0
    """The kernel gave no stamp, or was not asked."""
    replaced_stamp_count: int = 0
    """Kernel stamps that could not be and gave way to the clock."""
    coalesced_read_count: int = 0
    """Reads that held more than one chunk of the transfer coding."""
    asked_read_count: int = 0
    """Reads of several events of which the kernel was asked whether they came in one segment."""
    event_stream_count: int = 0
    """Responses that are streams of events."""
    retry_count: int = 0
    connect_failure_count: int = 0
    """Attempts, one per address."""
    connection_count: int = 0
    """Connections that were opened."""
    hang_up_count: int = 0
    """Idle connections that the server closed."""
    clock_step_count: int = 0
    drain_max_ns: int = 0
    """The longest time one batch of ready sockets took, what the sink did included."""

    short_send_count: int = 0
    """Sends of which the socket did not take all at once."""
    short_send_bytes: int = 0
    """What it did not take then."""

    def observe_anew(self) -> None:
        """What tells of the client's own faults counts from zero again: the measured phase begins."""
        self.kernel_stamped_read_count = self.user_stamped_read_count = 0
        self.coalesced_read_count = self.asked_read_count = 0
        self.replaced_stamp_count = self.clock_step_count = 0
        self.short_send_count = self.short_send_bytes = self.drain_max_ns = 0

    @property
    def read_count(self) -> int:
        return self.kernel_stamped_read_count + self.user_stamped_read_count

    @property
    def timestamp_source(self) -> Literal["kernel", "user", "mixed"]:
        """Where the arrival times came from."""
        if not self.user_stamped_read_count:
            return "kernel"
        return "mixed" if self.kernel_stamped_read_count else "user"

    def observations(self) -> dict[str, float]:
        """The same by name, as heartbeats carry them."""
        return {
            "kernel_stamped_read_count": self.kernel_stamped_read_count,
            "user_stamped_read_count": self.user_stamped_read_count,
            "replaced_stamp_count": self.replaced_stamp_count,
            "coalesced_read_count": self.coalesced_read_count,
            "asked_read_count": self.asked_read_count,
            "event_stream_count": self.event_stream_count,
            "retry_count": self.retry_count,
            "connect_failure_count": self.connect_failure_count,
            "connection_count": self.connection_count,
            "hang_up_count": self.hang_up_count,
            "clock_step_count": self.clock_step_count,
            "drain_max_ms": self.drain_max_ns / NS_PER_MS,
            "short_send_count": self.short_send_count,
            "short_send_bytes": self.short_send_bytes,
        }
