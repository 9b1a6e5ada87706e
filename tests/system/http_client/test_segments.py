"""Events that share a read are known to the instant if they came in one segment, and only then."""

import socket
import ssl
import threading

import pytest
import trustme
from tests.system.http_client.line import HEAD

from aiperf.endpoint import response
from aiperf.endpoint.segments import came_in_one_segment
from aiperf.units import NS_PER_MS

TOKEN = b"data: token\n\n"


def chunk(*events: bytes) -> bytes:
    body = b"".join(events)
    return b"%x\r\n%s\r\n" % (len(body), body)


TWO = chunk(TOKEN) + chunk(TOKEN)


@pytest.fixture
def mode():
    """Only kernel stamps have something to be sure of."""
    return {"selector": "epoll", "timestamps": "auto"}


@pytest.fixture(autouse=True)
def _asks_whatever_the_width(monkeypatch):
    monkeypatch.setattr(response, "WIDTH_ASKED_NS", 0)


def widths(line) -> list[int]:
    return [stamp_ns - after_ns for stamp_ns, after_ns, _ in line.reads]


def test_two_events_in_one_segment_have_one_arrival(line):
    line.send(HEAD + chunk(TOKEN))
    line.look()
    for _ in range(3):
        line.send(TWO)
        line.look()
    assert [data for _, _, data in line.reads[1:]] == [TOKEN * 2] * 3
    assert widths(line)[1:] == [0, 0, 0]


def test_two_events_in_two_segments_that_share_a_read_have_an_interval(line):
    line.send(HEAD + chunk(TOKEN))
    line.look()
    line.send(chunk(TOKEN))
    line.send(chunk(TOKEN))
    line.look()
    (_, after_ns, data) = line.reads[1]
    assert data == TOKEN * 2
    assert after_ns <= line.sends[1][1]
    assert widths(line)[1] > NS_PER_MS


def test_an_earlier_read_of_two_segments_does_not_spoil_the_connection(line):
    line.send(HEAD + b"10000\r\n")
    line.send(b"x" * 0x10000 + b"\r\n")
    line.look()
    line.look()
    line.send(TWO)
    line.look()
    first = widths(line)[-1]
    line.send(TWO)
    line.look()
    assert first > 0, "whose segments the excess are is not known yet"
    assert widths(line)[-1] == 0


def test_a_segment_between_read_and_question_never_makes_a_false_instant(line, monkeypatch):
    def ask_late(connection) -> bool:
        line.send(chunk(TOKEN))
        return came_in_one_segment(connection)

    line.send(HEAD + chunk(TOKEN))
    line.look()
    monkeypatch.setattr(response, "came_in_one_segment", ask_late)
    line.send(TWO)
    line.look()
    monkeypatch.setattr(response, "came_in_one_segment", came_in_one_segment)
    assert widths(line)[-1] > 0
    # The late one is read together with another: were it taken for part of the excess, this would look like one.
    line.send(chunk(TOKEN))
    line.look()
    assert line.reads[-1][2] == TOKEN * 2
    assert widths(line)[-1] > NS_PER_MS


def test_a_segment_that_is_read_in_parts_makes_no_false_instant(line, monkeypatch):
    monkeypatch.setattr("aiperf.endpoint.client.READ_BYTES", 200)
    line.send(HEAD + chunk(TOKEN))
    line.look()
    line.send(chunk(TOKEN) * 15)
    for _ in range(3):
        line.look()
    line.send(chunk(TOKEN))
    line.send(chunk(TOKEN))
    line.look()
    assert line.reads[-1][2] == TOKEN * 2
    assert widths(line)[-1] > NS_PER_MS


def test_one_large_send_is_an_instant_or_an_interval_around_the_truth(line):
    """The kernel may cut it, and join the pieces again."""
    line.send(HEAD + chunk(TOKEN))
    line.look()
    line.send(chunk(TOKEN, b"data: %s\n\n" % (b"x" * 150_000)) + chunk(TOKEN))
    for _ in range(8):
        line.look()
    before_ns, sent_ns = line.sends[1]
    for stamp_ns, after_ns, _ in line.reads[1:]:
        assert after_ns <= sent_ns + NS_PER_MS
        assert stamp_ns >= before_ns - NS_PER_MS


def test_a_connection_whose_segments_came_out_of_order_is_believed_no_more(line, monkeypatch):
    line.send(HEAD + chunk(TOKEN))
    line.look()
    (connection,) = line.at.client._connections.values()

    class Disordered:
        """As the kernel answers when a segment had come out of order."""

        def __init__(self, sock: socket.socket) -> None:
            self._sock = sock

        def getsockopt(self, *what) -> bytes:
            info = bytearray(self._sock.getsockopt(*what))
            info[224] = 1
            return bytes(info)

        def __getattr__(self, name):
            return getattr(self._sock, name)

    monkeypatch.setattr(connection, "sock", Disordered(connection.sock))
    line.send(TWO)
    line.look()
    assert widths(line)[-1] > 0


def test_a_kernel_that_does_not_count_leaves_the_interval(line, monkeypatch):
    line.send(HEAD + chunk(TOKEN))
    line.look()
    monkeypatch.setattr("aiperf.endpoint.segments._TCP_INFO", 12345)
    line.send(TWO)
    line.look()
    assert widths(line)[-1] > 0


def test_records_of_one_segment_have_one_arrival(serve, bench, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    turn = threading.Semaphore(0)

    def script(peer):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)

        def step(action):
            while True:
                try:
                    result = action()
                except ssl.SSLWantReadError:
                    peer.sock.sendall(outgoing.read())
                    incoming.write(peer.sock.recv(65536))
                else:
                    return result

        def send(*writes: bytes) -> None:
            for data in writes:
                session.write(data)
            peer.sock.sendall(outgoing.read())

        step(session.do_handshake)
        step(lambda: session.read(65536))
        send(HEAD + chunk(TOKEN))
        for _ in range(3):
            assert turn.acquire(timeout=20)
            send(chunk(TOKEN), chunk(TOKEN))
        assert turn.acquire(timeout=20)

    server = serve(script)
    at = bench(server.url.replace("http:", "https:"), trust={"ca_file": tmp_path / "ca.pem"})
    exchange = at.submit()
    for count in range(1, 5):
        at.run_until(lambda wanted=count: len(at.sink.reads.get(exchange.handle, [])) == wanted)
        turn.release()
    found = [stamp_ns - after_ns for stamp_ns, after_ns, _ in at.sink.reads[exchange.handle][1:]]
    # The handshake's segments were not counted, so the first question only finds out how many there were.
    assert found[1:] == [0, 0]
