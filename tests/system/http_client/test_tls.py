"""The HTTP timing client over TLS: trust, failures, stamps, streams."""

import ssl
import threading
import time

import pytest
import trustme

from aiperf.endpoint.exchange import ErrorKind, Outcome


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def server_context(authority):
    def make(*names: str, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["h2", "http/1.1"])
        if version is not None:
            context.maximum_version = version
        authority.issue_cert(*names).configure_cert(context)
        return context

    return make


def answer_all(peer):
    assert peer.sock.selected_alpn_protocol() == "http/1.1"
    while peer.request():
        peer.answer()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_trusted_server_is_spoken_to(serve, bench, server_context, ca_file, version):
    server = serve(answer_all, tls=server_context("127.0.0.1", version=version))
    at = bench(server.url, trust={"ca_file": ca_file})
    first, second = at.fetch(), at.fetch()
    assert (first.outcome, second.outcome) == (Outcome.COMPLETED, Outcome.COMPLETED)
    assert at.sink.body(second) == b"ok"
    assert first.connect_ns > 0
    assert first.tls_ns > 0
    ready_ns = first.dispatched_ns + first.blocked_ns + first.connect_ns + first.tls_ns
    assert ready_ns <= first.sent_ns <= first.first_byte_ns
    assert (second.connection_reused, second.tls_ns) == (1, 0)


def test_untrusted_server_is_a_failure(serve, bench, server_context):
    at = bench(serve(answer_all, tls=server_context("127.0.0.1")).url)
    exchange = at.fetch()
    assert (exchange.outcome, exchange.error_kind) == (Outcome.FAILED, ErrorKind.TLS)
    assert "--ca-file" in exchange.error_text
    assert "--insecure" in exchange.error_text
    assert exchange.sent_ns == -1
    assert at.client.open_connection_count == at.client.connecting_count == 0


def test_insecure_skips_the_check(serve, bench, server_context):
    at = bench(serve(answer_all, tls=server_context("elsewhere.test")).url, trust={"insecure": True})
    assert at.fetch().outcome == Outcome.COMPLETED


def test_certificate_of_another_host_is_a_failure(serve, bench, server_context, ca_file):
    at = bench(serve(answer_all, tls=server_context("elsewhere.test")).url, trust={"ca_file": ca_file})
    exchange = at.fetch()
    assert exchange.error_kind == ErrorKind.TLS
    assert "127.0.0.1" in exchange.error_text


def test_server_without_tls_is_told(serve, bench):
    def script(peer):
        peer.sock.recv(1000)
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.ended()

    exchange = bench(serve(script).url.replace("http:", "https:")).fetch()
    assert exchange.error_kind == ErrorKind.TLS
    assert "http://" in exchange.error_text


def test_plaintext_to_a_tls_server_fails_and_ends(serve, bench, server_context):
    at = bench(serve(answer_all, tls=server_context("127.0.0.1")).url.replace("https:", "http:"))
    exchange = at.fetch()
    assert exchange.outcome == Outcome.FAILED
    assert exchange.error_kind in {ErrorKind.PROTOCOL, ErrorKind.RESET, ErrorKind.CLOSED_EARLY}


def test_server_that_leaves_the_handshake_is_a_failure(serve, bench):
    exchange = bench(serve(lambda peer: peer.sock.recv(10)).url.replace("http:", "https:")).fetch()
    assert exchange.error_kind in {ErrorKind.TLS, ErrorKind.CONNECT_OTHER}


def test_silent_handshake_times_out(serve, bench):
    at = bench(serve(lambda peer: peer.ended()).url.replace("http:", "https:"), connect_timeout_s=0.2)
    exchange = at.fetch()
    assert exchange.error_kind == ErrorKind.CONNECT_TIMEOUT
    assert "did not end the handshake" in exchange.error_text
    assert exchange.connect_ns > 0
    assert exchange.tls_ns > 0


def test_a_handshake_that_drips_in_times_out_all_the_same(serve, bench):
    """At every look something has arrived, and it is never enough."""
    record = b"\x16\x03\x03\x3e\x80\x02\x00\x3e\x7c" + bytes(16_000)
    looked = threading.Event()

    def script(peer):
        peer.sock.recv(1000)
        for number in range(len(record)):
            peer.send(record[number : number + 1])
            looked.wait(5)
            looked.clear()

    at = bench(serve(script).url.replace("http:", "https:"), connect_timeout_s=0.2)
    exchange = at.submit()

    def look():
        at.client.tick()
        looked.set()
        time.sleep(0.005)
        return exchange.end_ns >= 0

    at.run_until(lambda: at.client.connecting_count)
    deadline_s = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline_s
        if not at.client.connecting_count:
            at.client.drain()  # the failure is told
    assert exchange.error_kind == ErrorKind.CONNECT_TIMEOUT
    assert "did not end the handshake" in exchange.error_text


def test_stream_keeps_its_stamps(serve, bench, server_context, ca_file, mode):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            time.sleep(0.02)
            peer.send(b"2\r\nok\r\n")
        peer.send(b"0\r\n\r\n")
        peer.ended()

    at = bench(serve(script, tls=server_context("127.0.0.1")).url, trust={"ca_file": ca_file})
    exchange = at.submit()
    at.run_until(lambda: exchange.sent_ns > 0)
    time.sleep(0.2)
    late_ns = at.clock.now_ns()
    at.finish()
    assert at.sink.body(exchange) == b"okokok"
    if at.client.timestamp_source == "kernel":
        assert exchange.end_ns < late_ns
    else:
        assert exchange.end_ns >= late_ns


def test_long_bodies_pass_both_ways(serve, bench, server_context, ca_file):
    def script(peer):
        while request := peer.request():
            peer.answer(request.partition(b"\r\n\r\n")[2])

    at = bench(serve(script, tls=server_context("127.0.0.1")).url, trust={"ca_file": ca_file})
    body = bytes(range(256)) * 20_000
    exchanges = [at.submit(body) for _ in range(3)]
    at.finish()
    assert [at.sink.body(exchange) == body for exchange in exchanges] == [True, True, True]
    assert exchanges[0].sent_bytes > len(body)


def test_close_notify_ends_a_body_without_length(serve, bench, server_context, ca_file):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        peer.sock.unwrap()

    at = bench(serve(script, tls=server_context("127.0.0.1")).url, trust={"ca_file": ca_file})
    exchange = at.fetch()
    assert exchange.outcome == Outcome.COMPLETED
    assert at.sink.body(exchange) == b"until the end"


def test_handshakes_are_paced_and_all_finish(serve, bench, server_context, ca_file):
    server = serve(answer_all, tls=server_context("127.0.0.1"))
    at = bench(server.url, trust={"ca_file": ca_file}, handshakes_per_tick=2, connects_in_progress_max=6)
    for _ in range(30):
        at.submit()
    at.finish()
    assert at.connecting_max <= 6
    assert {exchange.outcome for exchange in at.submitted} == {Outcome.COMPLETED}


def test_stale_connection_is_retried(serve, bench, server_context, ca_file):
    def script(peer):
        peer.request()
        peer.answer()
        if peer.index == 0:
            peer.request()

    at = bench(serve(script, tls=server_context("127.0.0.1")).url, trust={"ca_file": ca_file})
    at.fetch()
    exchange = at.fetch()
    assert (exchange.outcome, exchange.retried) == (Outcome.COMPLETED, 1)
