"""TLS in memory: two sessions over one pair of buffers, and trust."""

import ssl
from contextlib import suppress

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from aiperf.endpoint.tls import TlsBuffers, client_context
from aiperf.errors import PlanError

AUTHORITY = trustme.CA()
SERVER_CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
AUTHORITY.issue_cert("server.test").configure_cert(SERVER_CONTEXT)
CONTEXT = ssl.create_default_context()
AUTHORITY.configure_trust(CONTEXT)


class ServerSide:
    """The far end of a session, with buffers of its own."""

    def __init__(self) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = SERVER_CONTEXT.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def shake_hands(self, data: bytes) -> bytes:
        self.incoming.write(data)
        with suppress(ssl.SSLWantReadError):
            self.session.do_handshake()
        return self.outgoing.read()

    def records(self, plaintext: bytes) -> bytes:
        self.session.write(plaintext)
        return self.outgoing.read()


def connect(buffers: TlsBuffers) -> tuple[ssl.SSLObject, ServerSide, bytes]:
    """A session, its far end, and what the server sent after the handshake."""
    session, server = buffers.session(CONTEXT, "server.test"), ServerSide()
    done, flight = buffers.handshake(session, b"")
    while True:
        answer = server.shake_hands(flight)
        if done:
            return session, server, answer
        done, flight = buffers.handshake(session, answer)


@settings(max_examples=40)
@given(data=st.data())
def test_sessions_share_buffers_at_any_split(data):
    buffers = TlsBuffers()
    sent = [data.draw(st.binary(min_size=1, max_size=40_000)) for _ in range(2)]
    sides = [connect(buffers) for _ in sent]
    streams = [after + server.records(plain) for (_, server, after), plain in zip(sides, sent, strict=True)]
    received = [b"", b""]
    while any(streams):
        index = data.draw(st.sampled_from([i for i, stream in enumerate(streams) if stream]))
        count = data.draw(st.integers(1, len(streams[index])))
        piece, streams[index] = streams[index][:count], streams[index][count:]
        plaintext, _, closed = buffers.decrypt(sides[index][0], piece)
        assert not closed
        received[index] += plaintext
    assert received == sent


def test_request_reaches_the_far_end():
    buffers = TlsBuffers()
    session, server, _ = connect(buffers)
    server.incoming.write(buffers.encrypt(session, b"x" * 100_000))
    received = b""
    while len(received) < 100_000:
        received += server.session.read(65536)
    assert received == b"x" * 100_000


def test_failed_handshake_leaves_the_buffers_to_the_others():
    buffers = TlsBuffers()
    session, server, after = connect(buffers)
    broken = buffers.session(CONTEXT, "server.test")
    buffers.handshake(broken, b"")
    with pytest.raises(ssl.SSLError):
        buffers.handshake(broken, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    plaintext, _, _ = buffers.decrypt(session, after + server.records(b"still fine"))
    assert plaintext == b"still fine"


def test_broken_record_leaves_the_buffers_to_the_others():
    buffers = TlsBuffers()
    (session, server, after), (other, other_server, other_after) = connect(buffers), connect(buffers)
    with pytest.raises(ssl.SSLError):
        buffers.decrypt(other, other_after + other_server.records(b"x")[:-1] + b"\0\0\0\0\0\0\0")
    assert buffers.decrypt(session, after + server.records(b"still fine"))[0] == b"still fine"


def test_close_of_the_far_end_is_told_with_what_came_before():
    buffers = TlsBuffers()
    session, server, after = connect(buffers)
    last = server.records(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        server.session.unwrap()
    plaintext, _, closed = buffers.decrypt(session, after + last + server.outgoing.read())
    assert (plaintext, closed) == (b"last words", True)


def test_context_is_shared_and_verifies():
    assert client_context(None) is client_context(None)
    assert client_context(None).verify_mode == ssl.CERT_REQUIRED
    assert client_context(None, insecure=True).verify_mode == ssl.CERT_NONE


def test_unreadable_ca_file_is_the_users_problem(tmp_path):
    with pytest.raises(PlanError, match=r"none\.pem"):
        client_context(tmp_path / "none.pem")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(PlanError, match=r"empty\.pem"):
        client_context(empty)
