"""The HTTP timing client against real sockets: framing on the wire, reuse, retry, timeouts, cuts, pacing, stamps."""

import asyncio
import gc
import random
import socket
import threading
import time

import pytest
import uvloop
from tests.ports import dead_port

from aiperf.endpoint.connection import Connection
from aiperf.endpoint.exchange import BodyKind, ErrorKind, Outcome
from aiperf.endpoint.framing import Framing
from aiperf.endpoint.wakeup import Wakeup
from aiperf.errors import InfrastructureError

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def answer_all(peer):
    while peer.request():
        peer.answer()


def test_response_arrives_whole(serve, bench):
    requests = []

    def script(peer):
        requests.append(peer.request())
        peer.answer(b'{"a": 1}')

    at = bench(serve(script).url)
    exchange = at.submit(b'{"b": 2}')
    head = exchange.head
    at.finish()
    assert requests == [head + b'{"b": 2}']
    assert (exchange.head, exchange.body) == (b"", b"")  # let go: it cannot be needed again
    assert at.sink.body(exchange) == b'{"a": 1}'
    assert (exchange.outcome, exchange.error_kind, exchange.http_status) == (Outcome.COMPLETED, ErrorKind.NO_ERROR, 200)
    assert exchange.body_kind == BodyKind.JSON
    assert exchange.sent_bytes == len(requests[0])
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n"
    assert exchange.received_bytes == len(head) + 8
    assert exchange.response_head == b""


def test_instants_are_in_order_and_set_up_is_outside_of_them(serve, bench):
    at = bench(serve(answer_all).url)
    exchange = at.fetch()
    assert exchange.dns_ns == exchange.tls_ns == 0
    assert exchange.connect_ns > 0
    ready_ns = exchange.dispatched_ns + exchange.blocked_ns + exchange.dns_ns + exchange.connect_ns
    assert exchange.dispatched_ns < ready_ns <= exchange.sent_ns <= exchange.send_done_ns
    assert exchange.sent_ns <= exchange.first_byte_ns <= exchange.end_ns


def test_every_chunk_of_a_stream_is_stamped_within_its_interval(serve, bench):
    sent_at_ns = []

    def script(peer):
        peer.request()
        peer.send(CHUNKED)
        for _ in range(5):
            time.sleep(0.02)
            sent_at_ns.append(time.time_ns())
            peer.send(b"6\r\ndata: \r\n")
        peer.send(b"0\r\n\r\n")

    at = bench(serve(script).url)
    exchange = at.fetch()
    assert at.sink.body(exchange) == b"data: " * 5
    assert exchange.body_kind == BodyKind.EVENT_STREAM
    for (stamp_ns, after_ns, _), sent_ns in zip(at.sink.reads[exchange.handle], sent_at_ns, strict=False):
        assert after_ns <= stamp_ns
        assert stamp_ns >= sent_ns - 1_000_000  # a stamp is never from before the sending (1 ms for two clock bases)


def test_kernel_stamps_do_not_wait_for_a_late_client(serve, bench, mode):
    answered = threading.Event()

    def script(peer):
        peer.request()
        peer.answer()
        answered.set()

    at = bench(serve(script).url)
    exchange = at.submit()
    at.run_until(lambda: exchange.send_done_ns >= 0)
    answered.wait(10)
    time.sleep(0.2)  # the client is busy elsewhere
    late_ns = at.clock.now_ns()
    at.finish()
    if at.client.timestamp_source == "kernel":
        assert exchange.first_byte_ns < late_ns - 100_000_000
    else:
        assert exchange.first_byte_ns >= late_ns
    stamp_ns, after_ns, _ = at.sink.reads[exchange.handle][0]
    assert after_ns == exchange.sent_ns
    assert stamp_ns == exchange.end_ns


def test_timestamp_source_is_what_was_asked_for(serve, bench, mode):
    at = bench(serve(answer_all).url)
    at.fetch()
    counters = at.client.counters
    if mode["timestamps"] == "user":
        assert at.client.timestamp_source == "user"
        assert counters.kernel_stamped_read_count == 0
    assert counters.read_count >= 1


def test_platform_without_kernel_stamps_falls_back(serve, bench, monkeypatch, mode):
    monkeypatch.setattr("aiperf.endpoint.stamps.enable", lambda sock: False)
    at = bench(serve(answer_all).url)
    assert at.fetch().outcome == Outcome.COMPLETED
    assert at.client.timestamp_source == "user"
    with pytest.raises(InfrastructureError, match="--timestamps"):
        bench("http://127.0.0.1:1", timestamps="kernel")


@pytest.mark.parametrize("step_ns", [-3_600_000_000_000, 3_600_000_000_000], ids=["back", "forward"])
def test_unnoticed_step_of_the_wall_clock_moves_no_stamp(serve, bench, step_ns):
    at = bench(serve(answer_all).url)
    at.fetch()
    at.clock.real_to_run_ns += step_ns
    exchange = at.fetch()
    assert exchange.sent_ns <= exchange.first_byte_ns <= exchange.end_ns <= at.clock.now_ns()
    assert at.client.counters.replaced_stamp_count == (at.client.timestamp_source == "kernel")


def test_noticed_step_of_the_wall_clock_is_taken_in(serve, bench, mode, monkeypatch):
    if mode["timestamps"] == "user":
        pytest.skip("the wall clock plays no part")
    ringing = Wakeup()
    monkeypatch.setattr(Wakeup, "was_set", lambda self: self.hush() or True, raising=False)
    monkeypatch.setattr("aiperf.endpoint.watches.watch_wall_clock", lambda: ringing)
    at = bench(serve(answer_all).url)
    at.clock.real_to_run_ns += 3_600_000_000_000
    ringing.ring()
    at.run_until(lambda: at.client.counters.clock_step_count)
    exchange = at.fetch()
    assert exchange.first_byte_ns <= at.clock.now_ns()
    assert at.client.counters.replaced_stamp_count == 0


def test_full_buffer_leaves_the_lower_bound_where_it_was(serve, bench, monkeypatch):
    monkeypatch.setattr("aiperf.endpoint.client.READ_BYTES", 100)
    ready = threading.Event()

    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
        ready.set()
        peer.ended()

    at = bench(serve(script).url)
    exchange = at.submit()
    at.run_until(lambda: exchange.send_done_ns > 0)
    ready.wait(20)
    at.finish()
    reads = at.sink.reads[exchange.handle]
    assert len(reads) >= 10
    assert {after_ns for _, after_ns, _ in reads} == {exchange.sent_ns}


def test_empty_socket_raises_the_lower_bound(serve, bench):
    go = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED + b"2\r\nok\r\n")
        go.wait(20)
        peer.send(b"2\r\nok\r\n0\r\n\r\n")
        peer.ended()

    at = bench(serve(script).url)
    exchange = at.submit()
    at.run_until(lambda: exchange.handle in at.sink.reads)
    go.set()
    at.finish()
    (first_stamp_ns, first_after_ns, _), (_, second_after_ns, _) = at.sink.reads[exchange.handle]
    # A look that found nothing between the sending and the first byte raises this bound, too.
    assert exchange.sent_ns <= first_after_ns <= first_stamp_ns
    assert second_after_ns >= first_stamp_ns or at.client.timestamp_source == "user"
    assert second_after_ns > first_after_ns


def test_connection_is_reused(serve, bench):
    server = serve(answer_all)
    at = bench(server.url)
    exchanges = [at.fetch() for _ in range(3)]
    assert [exchange.connection_reused for exchange in exchanges] == [0, 1, 1]
    assert exchanges[1].connect_ns == 0
    assert server.connection_count == 1
    assert at.client.open_connection_count == 1


def test_latest_idle_connection_is_taken_first(serve, bench):
    def script(peer):
        while peer.request():
            peer.answer(b"%d" % peer.index)

    at = bench(serve(script).url)
    pair = [at.submit(), at.submit()]
    at.finish()
    latest = at.sink.body(at.sink.ended[-1])
    assert {at.sink.body(exchange) for exchange in pair} == {b"0", b"1"}
    assert {at.sink.body(at.fetch()) for _ in range(3)} == {latest}


def test_never_reusing_opens_a_connection_each(serve, bench):
    server = serve(answer_all)
    at = bench(server.url, reuse="never")
    exchanges = [at.fetch() for _ in range(3)]
    assert [exchange.connection_reused for exchange in exchanges] == [0, 0, 0]
    assert server.connection_count == 3
    assert at.client.open_connection_count == 0


def test_sink_may_submit_from_on_end(serve, bench):
    at = bench(serve(answer_all).url)
    at.sink.then = lambda exchange: at.submit() if exchange.handle < 20 else None
    at.submit()
    at.finish()
    assert len(at.submitted) == 21


def test_requests_go_to_the_target_of_their_url_index(serve, bench):
    def script(name):
        def answer(peer):
            while peer.request():
                peer.answer(name)

        return answer

    at = bench(serve(script(b"a")).url, serve(script(b"b")).url)
    assert at.sink.body(at.fetch(url_index=1)) == b"b"
    assert at.sink.body(at.fetch(url_index=0)) == b"a"


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (CHUNKED + b"2\r\nok\r\n0\r\nTrailer: 1\r\n\r\n", b"ok"),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 500_000 + b"\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ],
    ids=["interim", "no-content", "empty", "trailer", "huge-head"],
)
def test_framing_on_the_wire_keeps_the_connection(serve, bench, response, body):
    def script(peer):
        while peer.request():
            peer.send(response)

    server = serve(script)
    at = bench(server.url)
    for exchange in (at.fetch(), at.fetch()):
        assert exchange.outcome == Outcome.COMPLETED
        assert at.sink.body(exchange) == body
    assert server.connection_count == 1


@pytest.mark.parametrize(
    "response",
    [b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"HTTP/1.0 200 OK\r\n\r\nuntil the end"],
    ids=["http-1.1", "http-1.0"],
)
def test_end_of_connection_ends_a_body_without_length(serve, bench, response):
    def script(peer):
        peer.request()
        peer.send(response)

    at = bench(serve(script).url)
    exchange = at.fetch()
    assert exchange.outcome == Outcome.COMPLETED
    assert at.sink.body(exchange) == b"until the end"
    assert exchange.end_ns == at.sink.reads[exchange.handle][-1][0]
    assert at.client.open_connection_count == 0


def test_connection_close_is_heeded(serve, bench):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        peer.ended()

    at = bench(serve(script).url)
    assert at.fetch().outcome == Outcome.COMPLETED
    assert at.client.open_connection_count == 0


def test_bytes_after_the_response_close_the_connection(serve, bench):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
        peer.ended()

    at = bench(serve(script).url)
    exchange = at.fetch()
    assert exchange.outcome == Outcome.COMPLETED
    assert at.sink.body(exchange) == b"ok"
    at.run_until(lambda: at.client.open_connection_count == 0)


def test_long_request_is_sent_in_parts(serve, bench):
    go, sizes = threading.Event(), []

    def script(peer):
        go.wait(10)
        sizes.append(len(peer.request()))
        peer.answer()

    at = bench(serve(script).url)
    exchange = at.submit(b"x" * 20_000_000)
    at.run_until(lambda: exchange.sent_ns > 0)
    for _ in range(3):
        at.turn()
    assert exchange.send_done_ns == -1
    go.set()
    at.finish()
    assert exchange.outcome == Outcome.COMPLETED
    assert sizes == [exchange.sent_bytes]
    assert exchange.sent_ns < exchange.send_done_ns <= exchange.end_ns


def test_answer_to_an_unfinished_request_counts(serve, bench):
    seen = threading.Event()

    def script(peer):
        peer.sock.recv(1000)
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
        seen.wait(20)

    at = bench(serve(script).url)
    exchange = at.fetch(b"x" * 20_000_000)
    seen.set()
    assert (exchange.http_status, at.sink.body(exchange)) == (413, b"big")
    assert at.client.open_connection_count == 0


def test_error_status_is_a_failure_with_its_head_and_body(serve, bench):
    def script(peer):
        while peer.request():
            peer.send(b"HTTP/1.1 503 Busy Now\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy")

    at = bench(serve(script).url)
    exchange = at.fetch()
    assert (exchange.outcome, exchange.error_kind) == (Outcome.FAILED, ErrorKind.HTTP_STATUS)
    assert exchange.error_text == "HTTP 503 Busy Now"
    assert exchange.response_head == b"HTTP/1.1 503 Busy Now\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\n"
    assert at.sink.body(exchange) == b"busy"
    assert at.fetch().connection_reused == 1


def test_error_body_is_bounded(serve, bench):
    def script(peer):
        while peer.request():
            peer.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000)

    at = bench(serve(script).url, max_error_body_bytes=1000)
    exchange = at.fetch()
    assert at.sink.body(exchange) == b"x" * 1000
    assert exchange.received_bytes > 300_000
    assert at.fetch().connection_reused == 1


def test_response_heads_are_kept_on_request(serve, bench):
    at = bench(serve(answer_all).url, keep_response_heads=True)
    assert at.fetch().response_head.startswith(b"HTTP/1.1 200 OK\r\n")


def test_head_beyond_the_limit_is_a_protocol_error(serve, bench):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 3_000_000)
        peer.ended()

    exchange = bench(serve(script).url).fetch()
    assert exchange.error_kind == ErrorKind.PROTOCOL
    assert "1048576 bytes" in exchange.error_text


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nPRI",
        b"\x15\x03\x01\x00\x02\x02\x16",
    ],
    ids=["ssh", "length", "upgrade", "tls"],
)
def test_garbage_is_a_protocol_error(serve, bench, garbage):
    def script(peer):
        peer.request()
        peer.send(garbage)
        peer.ended()

    exchange = bench(serve(script).url).fetch()
    assert (exchange.outcome, exchange.error_kind) == (Outcome.FAILED, ErrorKind.PROTOCOL)


def test_error_status_outweighs_how_its_body_ended(serve, bench):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nhalf")

    exchange = bench(serve(script).url).fetch()
    assert (exchange.outcome, exchange.error_kind, exchange.error_text) == (
        Outcome.FAILED,
        ErrorKind.HTTP_STATUS,
        "HTTP 500 Oops",
    )


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"", "without a response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "within the response"),
        (CHUNKED + b"2\r\nok\r\n", "within"),
    ],
    ids=["nothing", "sized", "chunked"],
)  # fmt: skip
def test_early_close_is_a_failure(serve, bench, sent, told):
    def script(peer):
        peer.request()
        peer.send(sent)

    exchange = bench(serve(script).url).fetch()
    assert (exchange.outcome, exchange.error_kind) == (Outcome.FAILED, ErrorKind.CLOSED_EARLY)
    assert told in exchange.error_text
    assert exchange.retried == 0


def test_reset_is_a_failure(serve, bench):
    def script(peer):
        peer.request()
        peer.send(CHUNKED)
        time.sleep(0.05)
        peer.reset()

    assert bench(serve(script).url).fetch().error_kind == ErrorKind.RESET


def test_refused_connection_is_a_failure(bench):
    with dead_port() as port:
        exchange = bench(f"http://127.0.0.1:{port}").fetch()
    assert (exchange.outcome, exchange.error_kind) == (Outcome.FAILED, ErrorKind.CONNECT_REFUSED)
    assert f"127.0.0.1:{port}" in exchange.error_text
    assert exchange.sent_ns == -1


def test_unknown_name_is_a_failure(bench):
    exchange = bench("http://no-such-host.invalid:80").fetch()
    assert (exchange.outcome, exchange.error_kind) == (Outcome.FAILED, ErrorKind.DNS)
    assert "no-such-host.invalid" in exchange.error_text
    assert exchange.dns_ns > 0


def test_name_is_resolved_once_and_its_time_is_told(serve, bench):
    at = bench(serve(answer_all).url.replace("127.0.0.1", "localhost"))
    first, second = at.submit(), at.submit()
    at.finish()
    third = at.fetch()
    assert all(exchange.outcome == Outcome.COMPLETED for exchange in (first, second, third))
    assert first.dns_ns > 0
    assert third.dns_ns == 0
    assert first.blocked_ns >= 0
    assert first.dispatched_ns + first.blocked_ns + first.dns_ns + first.connect_ns <= first.sent_ns


def test_next_address_is_tried_when_one_fails(serve, bench, monkeypatch):
    server = serve(answer_all)
    stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    with dead_port("127.0.0.2") as dead:
        found = [(*stream, ("127.0.0.2", dead)), (*stream, ("127.0.0.1", server.port))]
        monkeypatch.setattr("aiperf.endpoint.resolver.Resolver.__init__.__defaults__", (lambda *a, **k: found,))
        at = bench("http://two-addresses.test")
        exchange = at.fetch()
    assert exchange.outcome == Outcome.COMPLETED
    assert at.client.counters.connect_failure_count == 1


def test_ipv6_is_spoken(serve, bench):
    try:
        server = serve(answer_all, host="::1")
    except OSError:
        pytest.skip("no IPv6 on this host")
    assert bench(server.url).fetch().outcome == Outcome.COMPLETED


def test_silent_server_times_out(serve, bench):
    def script(peer):
        peer.request()
        assert peer.ended()

    exchange = bench(serve(script).url, request_timeout_s=0.2).fetch()
    assert (exchange.outcome, exchange.error_kind) == (Outcome.FAILED, ErrorKind.TIMEOUT)
    assert exchange.end_ns - exchange.dispatched_ns >= 200_000_000


@pytest.mark.parametrize(
    ("begin", "drop"),
    [(b"HTTP/1.1 200 OK\r\nX-Drip: ", b"x"), (CHUNKED, b"2\r\nok\r\n"), (b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n")],
    ids=["head", "chunks", "before the head"],
)
def test_an_answer_that_drips_in_times_out_all_the_same(serve, bench, begin, drop):
    def script(peer):
        peer.request()
        peer.send(begin)
        while True:  # until the client closes
            time.sleep(0.002)
            peer.send(drop)

    exchange = bench(serve(script).url, request_timeout_s=0.3).fetch()
    assert (exchange.outcome, exchange.error_kind) == (Outcome.FAILED, ErrorKind.TIMEOUT)


def test_answer_that_lies_unread_is_no_timeout(serve, bench):
    answered = threading.Event()

    def script(peer):
        while peer.request():
            peer.answer()
            answered.set()

    at = bench(serve(script).url, request_timeout_s=1)
    at.fetch()
    answered.clear()
    exchange = at.submit()
    assert answered.wait(20)
    time.sleep(1.1)  # too busy to look
    at.client.tick()
    assert exchange.outcome == Outcome.COMPLETED


def test_connect_that_gets_no_answer_times_out(bench):
    # A full accept queue drops the handshake: connects beyond it hang.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        at = bench(f"http://127.0.0.1:{listener.getsockname()[1]}", connect_timeout_s=0.3)
        exchanges = [at.submit() for _ in range(8)]
        at.run_until(lambda: any(exchange.error_kind == ErrorKind.CONNECT_TIMEOUT for exchange in exchanges))
        at.client.close()
    assert all(exchange.sent_ns == -1 for exchange in exchanges if exchange.error_kind == ErrorKind.CONNECT_TIMEOUT)


def test_cancelling_closes_the_socket(serve, bench):
    closed = threading.Event()

    def script(peer):
        peer.request()
        peer.send(CHUNKED + b"2\r\nok\r\n")
        if peer.ended():
            closed.set()

    at = bench(serve(script).url)
    exchange = at.submit()
    at.run_until(lambda: exchange.handle in at.sink.reads)
    at.client.cancel(exchange, Outcome.CENSORED)
    assert (exchange.outcome, exchange.error_kind) == (Outcome.CENSORED, ErrorKind.CUT)
    assert exchange.end_ns >= exchange.first_byte_ns > 0
    assert closed.wait(10)
    at.client.cancel(exchange, Outcome.CANCELLED)
    assert at.sink.ended == [exchange]


def test_cancelling_works_in_every_stage(serve, bench):
    def script(peer):
        peer.request()
        peer.ended()

    at = bench(serve(script).url, connects_in_progress_max=2)
    first = at.submit()
    at.run_until(lambda: first.sent_ns >= 0)
    rest = [at.submit() for _ in range(5)]
    assert at.client.connecting_count == 2
    at.client.cancel_all(Outcome.CANCELLED)
    assert {exchange.outcome for exchange in (first, *rest)} == {Outcome.CANCELLED}
    assert at.client.in_flight_count == at.client.connecting_count == at.client.open_connection_count == 0


def test_sink_may_cancel_from_on_read(serve, bench):
    def script(peer):
        peer.request()
        peer.send(CHUNKED + b"2\r\nok\r\n0\r\n\r\n")
        peer.ended()

    at = bench(serve(script).url)
    on_read = at.sink.on_read

    def cut(exchange, *read):
        on_read(exchange, *read)
        at.client.cancel(exchange, Outcome.CANCELLED)

    at.sink.on_read = cut
    assert at.fetch().outcome == Outcome.CANCELLED


def test_closing_ends_what_is_in_flight_and_is_idempotent(serve, bench):
    at = bench(serve(lambda peer: peer.ended()).url)
    exchange = at.submit()
    at.client.close()
    at.client.close()
    assert exchange.outcome == Outcome.CANCELLED


def test_what_is_submitted_while_closing_is_cancelled_too(serve, bench):
    at = bench(serve(lambda peer: peer.ended()).url)
    at.sink.then = lambda exchange: at.submit() if exchange.handle < 3 else None
    at.submit()
    at.client.close()
    assert [exchange.outcome for exchange in at.submitted] == [Outcome.CANCELLED] * 4


def test_closed_connections_leave_no_garbage(serve, bench):
    at = bench(serve(answer_all).url, reuse="never")
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            at.fetch()
        left = [thing for thing in gc.get_objects() if isinstance(thing, (Framing, Connection))]
        assert len(left) <= 1  # the framing that was fed last: the parsers know it until they are fed again
        assert all(isinstance(thing, Framing) for thing in left)
    finally:
        gc.enable()


def test_client_may_be_closed_from_on_end(serve, bench):
    at = bench(serve(answer_all).url)
    at.sink.then = lambda exchange: at.client.close()
    exchange = at.submit()
    deadline = time.monotonic() + 10
    while at.client.in_flight_count and time.monotonic() < deadline:
        at.client.drain()
    assert at.sink.ended == [exchange]


def test_stale_connection_is_retried_exactly_once(serve, bench):
    def script(peer):
        peer.request()
        if peer.index == 0:
            peer.answer()
            peer.request()  # the second request is read and never answered
        elif peer.index == 1:
            peer.answer(b"fresh")

    server = serve(script)
    at = bench(server.url)
    at.fetch()
    exchange = at.fetch()
    assert exchange.outcome == Outcome.COMPLETED
    assert (exchange.retried, exchange.connection_reused) == (1, 0)
    assert at.sink.body(exchange) == b"fresh"
    assert at.client.counters.retry_count == 1
    assert server.connection_count == 2


def test_retry_that_fails_is_not_tried_again(serve, bench):
    def script(peer):
        peer.request()
        if peer.index == 0:
            peer.answer()
            peer.request()

    server = serve(script)
    at = bench(server.url)
    at.fetch()
    exchange = at.fetch()
    assert (exchange.error_kind, exchange.retried) == (ErrorKind.CLOSED_EARLY, 1)
    assert server.connection_count == 2


def test_response_cut_after_its_first_byte_is_not_retried(serve, bench):
    def script(peer):
        peer.request()
        peer.answer()
        peer.request()
        peer.send(b"H")

    at = bench(serve(script).url)
    at.fetch()
    exchange = at.fetch()
    assert (exchange.error_kind, exchange.retried) == (ErrorKind.CLOSED_EARLY, 0)


def test_hang_up_of_an_idle_connection_is_noticed(serve, bench):
    def script(peer):
        peer.request()
        peer.answer()

    at = bench(serve(script).url)
    at.fetch()
    at.run_until(lambda: at.client.open_connection_count == 0)
    assert at.client.counters.hang_up_count == 1
    assert at.fetch().retried == 0


def test_connects_in_progress_are_bounded(serve, bench):
    def script(peer):
        while peer.request():
            peer.answer()

    at = bench(serve(script).url, connects_in_progress_max=4, connects_per_tick=3)
    connecting = []
    for _ in range(100):
        at.submit()
        connecting.append(at.client.connecting_count)
    at.finish()
    assert max(*connecting, at.connecting_max) <= 4
    assert all(exchange.outcome == Outcome.COMPLETED for exchange in at.submitted)
    assert max(exchange.blocked_ns for exchange in at.submitted) > 0


def test_connects_keep_to_their_pace(serve, bench):
    def script(peer):
        while peer.request():
            peer.answer()

    at = bench(serve(script).url, connects_per_s=200, reuse="never")
    began_ns = at.clock.now_ns()
    for _ in range(60):
        at.submit()
    at.finish()
    # What the pace lets through at once is a tenth of a second's worth, and one.
    assert at.clock.now_ns() - began_ns >= (60 - 21) * 5_000_000
    assert all(exchange.outcome == Outcome.COMPLETED for exchange in at.submitted)
    assert sum(exchange.blocked_ns for exchange in at.submitted) > 10 * 39 * 5_000_000, "the wait has its own name"


def test_lack_of_descriptors_is_this_sides_failure(serve, bench, monkeypatch):
    at = bench(serve(answer_all).url)

    def no_socket(*_):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("aiperf.endpoint.dialer.socket.socket", no_socket)
        exchange = at.fetch()
    assert (exchange.outcome, exchange.error_kind) == (Outcome.FAILED, ErrorKind.CLIENT_RESOURCE)
    assert "ulimit" in exchange.error_text


def test_failing_at_once_does_not_recurse(bench):
    with dead_port() as port:
        at = bench(f"http://127.0.0.1:{port}")
        at.sink.then = lambda exchange: at.submit() if exchange.handle < 1500 else None
        at.submit()
        at.finish()
    assert {exchange.error_kind for exchange in at.submitted} == {ErrorKind.CONNECT_REFUSED}


@pytest.mark.parametrize("seed", range(5))
def test_every_exchange_ends_exactly_once_under_random_faults(serve, bench, seed):
    chance = random.Random(seed)

    def script(peer):
        while peer.request():
            match chance.randrange(8):
                case 0:
                    return
                case 1:
                    peer.reset()
                    return
                case 2:
                    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                    return
                case 3:
                    peer.send(b"nonsense\r\n\r\n")
                case 4:
                    peer.send(CHUNKED + b"2\r\nok\r\n")
                    time.sleep(0.01)
                    peer.send(b"0\r\n\r\n")
                case 5:
                    time.sleep(0.4)
                case _:
                    peer.answer()

    at = bench(serve(script).url, request_timeout_s=0.3, connects_in_progress_max=8)
    left = iter(range(150))

    def refill(exchange):
        if next(left, None) is not None:
            at.submit()
        if at.client.in_flight_count and chance.random() < 0.05:
            at.client.cancel(chance.choice(at.submitted), Outcome.CANCELLED)

    at.sink.then = refill
    for _ in range(20):
        at.submit()
    at.finish()
    assert len(at.submitted) == 170
    assert at.client.in_flight_count == at.client.connecting_count == 0
    for exchange in at.submitted:
        assert (exchange.outcome == Outcome.COMPLETED) == (exchange.error_kind == ErrorKind.NO_ERROR)
        assert exchange.end_ns >= exchange.dispatched_ns


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_event_loop_drives_it(serve, bench, new_loop):
    at = bench(serve(answer_all).url)
    loop = new_loop()
    try:
        at.client.attach(loop)
        at.sink.then = lambda exchange: at.submit() if len(at.submitted) < 20 else loop.stop()
        at.submit()
        loop.call_later(20, loop.stop)
        loop.run_forever()
        at.client.detach()
        at.client.detach()
    finally:
        loop.close()
    assert len(at.sink.ended) == 20


def test_event_loop_drives_timeouts(serve, bench):
    at = bench(serve(lambda peer: peer.ended()).url, request_timeout_s=0.1)
    loop = uvloop.new_event_loop()
    try:
        at.client.attach(loop)
        at.sink.then = lambda exchange: loop.stop()
        exchange = at.submit()
        loop.run_forever()
        at.client.detach()
    finally:
        loop.close()
    assert exchange.error_kind == ErrorKind.TIMEOUT


def test_targets_that_are_abandoned_lose_their_idle_connections_and_no_others(serve, bench):
    at = bench(serve(answer_all).url, serve(answer_all).url)
    for url_index in (0, 1):
        at.fetch(url_index=url_index)
    at.client.abandon(1)
    assert at.client.open_connection_count == 1
    assert [at.fetch(url_index=url_index).connection_reused for url_index in (0, 1)] == [1, 0]
