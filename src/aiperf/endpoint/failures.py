"""What went wrong, in the field's words: errors of the operating system and of TLS as an `ErrorKind` and a plain text.

Owns: the border between library exceptions and failures of a request. Does not own: when a failure is retried, how it
is recorded (`client`). Exceptions in, `Failure` out.
"""

import errno
import resource
import socket
import ssl
from typing import NamedTuple

from aiperf.endpoint.exchange import ErrorKind


class Failure(NamedTuple):
    """Why a request failed: what is counted, and what the user reads."""

    kind: ErrorKind
    text: str


_NO_SUPPLIES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_NO_MEMORY = (
    "no memory is left for sockets on this side: net.ipv4.tcp_mem and the memory limit of the cgroup bound it; "
    "use fewer connections"
)


def is_out_of_supplies(error: OSError) -> bool:
    """Whether this side has no socket to offer, whatever the address."""
    return error.errno in _NO_SUPPLIES


def connect_failure(error: OSError, where: str) -> Failure:
    """What an error of `socket()`, `bind()` or `connect()` means. `where` is `host:port`, for the text."""
    text = _this_sides_lack(error.errno or 0)
    if text is not None:
        return Failure(ErrorKind.CLIENT_RESOURCE, f"{text} (connecting to {where})")
    match error.errno:
        case errno.ECONNREFUSED:
            return nothing_listens(where)
        case errno.ETIMEDOUT:
            return Failure(ErrorKind.CONNECT_TIMEOUT, f"{where} did not answer: {_UNANSWERED}")
        case errno.ECONNRESET | errno.EPIPE | errno.ECONNABORTED:
            return Failure(
                ErrorKind.CONNECT_OTHER,
                f"{where} accepted the connection and dropped it at once: its accept queue may be full "
                "(net.ipv4.tcp_abort_on_overflow), or a load balancer has no server behind it",
            )
        case errno.ENETUNREACH | errno.EHOSTUNREACH:
            return Failure(
                ErrorKind.CONNECT_OTHER,
                f"no way to {where} ({error.strerror}): look at routes and firewalls, here (`ip route get`) and there",
            )
        case errno.EAFNOSUPPORT:
            return Failure(
                ErrorKind.CONNECT_OTHER,
                f"this side has no address of the family that {where} has: see --source-address",
            )
        case _:
            return Failure(ErrorKind.CONNECT_OTHER, f"could not connect to {where}: {error.strerror or error}")


def _this_sides_lack(code: int) -> str | None:
    """What this side lacks, and what to do about it; None if the error is not of that kind."""
    match code:
        case errno.EMFILE:
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            return (
                f"no file descriptor is left on this side: the limit is {limit:,} for each process; "
                "raise it with `ulimit -n`, or use more workers"
            )
        case errno.ENFILE:
            return "no file is left on this host: raise fs.file-max"
        case errno.EADDRNOTAVAIL | errno.EADDRINUSE:
            return (
                "no local port is left on this side: add local addresses with --source-address, "
                "widen net.ipv4.ip_local_port_range, or reuse connections"
            )
        case errno.ENOMEM | errno.ENOBUFS:
            return _NO_MEMORY
        case errno.EPERM | errno.EACCES:
            return (
                "this side's firewall or security policy forbids it: look at its rules (iptables, nft, SELinux, eBPF)"
            )
        case _:
            return None


_UNANSWERED = (
    "its accept queue is full (net.core.somaxconn and the server's own backlog; connect more slowly with "
    "--connect-rate), or something on the way drops packets (a firewall, a full table of connections: "
    "net.netfilter.nf_conntrack_max)"
)
"""Which of them cannot be told from here: all look like silence. The kernel has asked again meanwhile, ever less often:
after one second, three, seven, fifteen."""


def nothing_listens(where: str) -> Failure:
    return Failure(ErrorKind.CONNECT_REFUSED, f"{where} refused the connection: nothing listens there")


def connect_timeout(where: str, seconds: float) -> Failure:
    return Failure(ErrorKind.CONNECT_TIMEOUT, f"no connection to {where} within {seconds:g} s: {_UNANSWERED}")


def handshake_timeout(where: str, seconds: float) -> Failure:
    """As `connect_timeout`, of a server that took the connection: its accept queue is not to blame."""
    text = f"no TLS with {where} within {seconds:g} s: it accepted the connection and did not end the handshake"
    return Failure(ErrorKind.CONNECT_TIMEOUT, f"{text}; is it overloaded, or no TLS server?")


def name_failure(error: OSError, host: str) -> Failure:
    """What an error of `getaddrinfo()` means."""
    reason = error.strerror if isinstance(error, socket.gaierror) else str(error)
    return Failure(ErrorKind.DNS, f"the name {host!r} could not be resolved: {reason}")


def broken_connection(error: OSError) -> Failure:
    """What an error of `recv()` or `send()` on an open connection means."""
    match error.errno:
        case errno.ECONNRESET | errno.EPIPE | errno.ECONNABORTED:
            return Failure(ErrorKind.RESET, "the server reset the connection")
        case errno.ETIMEDOUT | errno.EHOSTUNREACH | errno.ENETUNREACH:
            return Failure(ErrorKind.RESET, f"the connection was lost: {error.strerror}")
        case errno.ENOMEM | errno.ENOBUFS:
            return Failure(ErrorKind.CLIENT_RESOURCE, _NO_MEMORY)
        case _:
            return Failure(ErrorKind.RESET, f"the connection failed: {error.strerror or error}")


def tls_failure(error: ssl.SSLError, where: str) -> Failure:
    """What an error of the handshake, or of a record later on, means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure(
            ErrorKind.TLS,
            f"the certificate of {where} is not trusted: {error.verify_message.rstrip('.')}; "
            "name its authority with --ca-file, or skip the check with --insecure",
        )
    reason = (error.reason or str(error)).replace("_", " ").lower()
    hint = "; is it http:// rather than https://?" if error.reason in _NOT_TLS else ""
    return Failure(ErrorKind.TLS, f"no TLS with {where}: {reason}{hint}")


_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
)


def closed_early(received_bytes: int) -> Failure:
    if received_bytes:
        return Failure(
            ErrorKind.CLOSED_EARLY,
            f"the server closed the connection within the response, after {received_bytes} bytes",
        )
    return Failure(ErrorKind.CLOSED_EARLY, "the server closed the connection without a response")
