"""TLS over memory buffers, so that the raw reads stay ours and keep their kernel stamps.

Owns: one connection's cryptographic state. Does not own: sockets. Bytes in, bytes out.
"""

import contextlib
import ssl


class TlsChannel:
    """The server's end of one TLS connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaken = False

    def receive(self, data: bytes) -> bytes:
        """The plain bytes that these complete; there may be an answer for the peer in `to_send`.

        Raises: ssl.SSLError if the peer does not speak TLS or has ended it.
        """
        self._incoming.write(data)
        plain = []
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while part := self._tls.read(65536):
                plain.append(part)
        except ssl.SSLWantReadError:
            pass
        return b"".join(plain)

    def protect(self, data: bytes) -> bytes:
        """The records that carry the data."""
        self._tls.write(data)
        return self._outgoing.read()

    def to_send(self) -> bytes:
        """What the protocol itself wants to tell the peer."""
        return self._outgoing.read()

    def farewell(self) -> bytes:
        """The notice that nothing more will come."""
        with contextlib.suppress(ssl.SSLError):  # it wants to hear the peer's own notice, and nobody waits for that
            self._tls.unwrap()
        return self._outgoing.read()
