"""TLS in memory: records in, plaintext out, and back. The socket stays ours, and so do the kernel's stamps.

Owns: what is trusted, and the pair of memory buffers that OpenSSL reads from and writes to. Does not own: sockets.

All sessions of a client share one pair of buffers. That is sound because OpenSSL, which does not read ahead here, takes
every byte offered before it asks for more, and because every call below leaves both buffers empty; it saves each idle
connection two buffers that never shrink (64 KiB reads would make that 80 KiB). Proof:
`test_sessions_share_buffers_at_any_split`.
"""

import ssl
from functools import cache
from pathlib import Path

from aiperf.errors import PlanError, Problem

_PLAINTEXT_BYTES = 65536


@cache
def client_context(ca_file: Path | None = None, *, insecure: bool = False) -> ssl.SSLContext:
    """The settings shared by all connections of a run: HTTP/1.1 only, the system's trust unless told otherwise.

    Raises: PlanError if `ca_file` cannot be read or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise PlanError(
            Problem(f"cannot read certificates from {ca_file}: {error}", "--ca-file", "Give a PEM file.")
        ) from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsBuffers:
    """The work bench of all TLS sessions of one client: one record at a time lies on it."""

    __slots__ = ("_incoming", "_outgoing")

    def __init__(self) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    def session(self, context: ssl.SSLContext, host: str) -> ssl.SSLObject:
        return context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def handshake(self, session: ssl.SSLObject, received: bytes) -> tuple[bool, bytes]:
        """Whether the handshake is done, and what to send. Raises: ssl.SSLError."""
        self._incoming.write(received)
        try:
            session.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        except ssl.SSLError:
            self._clear()
            raise
        if self._incoming.pending:
            self._clear()
            raise ssl.SSLError("the server sent data before the request")
        return done, self._outgoing.read()

    def encrypt(self, session: ssl.SSLObject, plaintext: bytes) -> bytes:
        """The records that carry `plaintext`. Raises: ssl.SSLError."""
        try:
            session.write(plaintext)
        except ssl.SSLError:
            self._clear()
            raise
        return self._outgoing.read()

    def decrypt(self, session: ssl.SSLObject, received: bytes) -> tuple[bytes, bytes, bool]:
        """The plaintext that `received` completes, what to send in answer (rarely anything), whether the peer closed.

        Raises: ssl.SSLError.
        """
        incoming = self._incoming
        incoming.write(received)
        parts: list[bytes] = []
        closed = False
        try:
            while incoming.pending:
                part = session.read(_PLAINTEXT_BYTES)
                if not part:  # the peer has closed its side; nothing it sent after that counts
                    closed = True
                    incoming.read()
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._clear()
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts), self._outgoing.read(), closed

    def _clear(self) -> None:
        self._incoming.read()
        self._outgoing.read()
