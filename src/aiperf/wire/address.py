"""Addresses of the wire: which of them can be reached from elsewhere, and where the binder of one listens.

Owns: reading the text of an address. Does not own: who meets at which (`aiperf.service.layout`).
"""

LOOPBACK = "127.0.0.1"
"""Shared by the containers of a pod and by nobody else. Exactly this address, not all of 127/8: whoever means loopback
writes this."""

LOOPBACK_V6 = "::1"


def is_tcp(address: str) -> bool:
    return address.startswith("tcp://")


def is_exposed(address: str) -> bool:
    """Whether others than the processes of this machine (or pod) may reach it: TCP anywhere but on `LOOPBACK`."""
    return is_tcp(address) and _host_and_port(address)[0] != LOOPBACK


def as_bound(address: str) -> str:
    """Where its binder listens: a name of the binder's own host stands for all addresses of that host."""
    return f"tcp://*:{_host_and_port(address)[1]}" if is_exposed(address) else address


def _host_and_port(address: str) -> tuple[str, str]:
    host, _, port = address.partition("://")[2].rpartition(":")
    return host, port
