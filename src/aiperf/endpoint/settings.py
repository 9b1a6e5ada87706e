"""How the HTTP client behaves: the choices that all its connections share."""

from dataclasses import dataclass
from typing import Literal

from aiperf.endpoint.local_ports import ALL_PORTS, PortShare


@dataclass(frozen=True, slots=True)
class ClientSettings:
    timestamps: Literal["auto", "kernel", "user"] = "auto"
    """`kernel` insists on it; `auto` takes what there is."""
    selector: Literal["auto", "epoll", "kqueue", "poll"] = "auto"
    reuse: Literal["pooled", "never"] = "pooled"
    request_timeout_s: float = 21600
    """From dispatch to the end, connection set-up included."""
    connect_timeout_s: float = 30
    """For TCP and TLS together, per address tried."""
    connects_in_progress_max: int = 256
    """More would only wait in the server's accept queue, or overflow it (then each waits a second for a second SYN)."""
    connects_per_tick: int = 64
    """Connections begun between two turns of the event loop: about 3 ms of work."""
    connects_per_s: float | None = None
    """Faster ones overflow the accept queue of a server under load: each then waits for its SYN to be sent again after
    one second, after three, seven, fifteen."""
    source_addresses: tuple[str, ...] = ()
    """Connected from in turn; none: the system chooses."""
    port_share: PortShare = ALL_PORTS
    """Among the processes of this machine that connect at the same time."""
    handshakes_per_tick: int = 16
    """Steps of TLS handshakes between two turns of the event loop, at up to half a millisecond each."""
    max_head_bytes: int = 1 << 20
    max_error_body_bytes: int = 64 << 10
    """Of a response whose status is no success, so much is handed on; the rest is read and dropped."""
    keep_response_heads: bool = False
