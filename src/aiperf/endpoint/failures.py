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


_CLIENT_RESOURCE = {
    errno.EMFILE: "no file descriptor is left on this side",
    errno.ENFILE: "no file is left on this host",
    errno.EADDRNOTAVAIL: "no local port is left on this side",
    errno.EADDRINUSE: "no local port is left on this side",
    errno.ENOMEM: "no memory is left for sockets on this side",
    errno.ENOBUFS: "no memory is left for sockets on this side",
    errno.EPERM: "this side's firewall (or a full connection table) forbids it",
}


def connect_failure(error: OSError, where: str) -> Failure:
    """What an error of `socket()` or `connect()` means. `where` is `host:port`, for the text."""
    text = _CLIENT_RESOURCE.get(error.errno or 0)
    if text is not None:
        return Failure(ErrorKind.CLIENT_RESOURCE, f"{text}{_remedy(error)} (connecting to {where})")
    match error.errno:
        case errno.ECONNREFUSED:
            return Failure(ErrorKind.CONNECT_REFUSED, f"{where} refused the connection: nothing listens there")
        case errno.ETIMEDOUT:
            return Failure(ErrorKind.CONNECT_TIMEOUT, f"{where} did not answer")
        case errno.ECONNRESET | errno.EPIPE:
            return Failure(ErrorKind.CONNECT_OTHER, f"{where} accepted the connection and dropped it at once")
        case _:
            return Failure(ErrorKind.CONNECT_OTHER, f"could not connect to {where}: {error.strerror or error}")


def _remedy(error: OSError) -> str:
    match error.errno:
        case errno.EMFILE:
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            return f": the limit is {limit}, raise it with `ulimit -n`"
        case errno.EADDRNOTAVAIL | errno.EADDRINUSE:
            return ": widen net.ipv4.ip_local_port_range, reuse connections, or use more hosts"
        case _:
            return ""


def connect_timeout(where: str, seconds: float) -> Failure:
    return Failure(ErrorKind.CONNECT_TIMEOUT, f"no connection to {where} within {seconds:g} s")


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
            return Failure(ErrorKind.CLIENT_RESOURCE, _CLIENT_RESOURCE[errno.ENOMEM])
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
