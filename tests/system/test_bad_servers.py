"""Servers that fail, lie and dawdle: every response becomes the record it should, and the accounts add up."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from aiperf.mock.truth import read_rows, read_truth

COMPLETED = ("completed", None)

STREAM_FAULTS = {
    "error;status=503;rate=0.05": ("http_status", 503),
    "error;status=429;rate=0.05": ("http_status", 429),
    "reset-mid-stream;after=2;rate=0.05": ("reset", None),
    "close-mid-stream;after=2;rate=0.05": ("closed_early", None),
    "malformed-json;after=2;rate=0.05": ("malformed_body", None),
    "error-event;after=2;rate=0.05": ("error_event", None),
    "empty;rate=0.05": ("empty_response", None),
    "slow-headers;seconds=0.05;rate=0.05": COMPLETED,
    "crlf;rate=0.05": COMPLETED,
    "cr;rate=0.05": COMPLETED,
    "no-done;rate=0.05": COMPLETED,
    "no-finish;rate=0.05": COMPLETED,
    "continue;rate=0.05": COMPLETED,
    "early-hints;rate=0.05": COMPLETED,
    "huge-headers;kb=200;rate=0.02": COMPLETED,
    "until-close;rate=0.05": COMPLETED,
    "connection-close;rate=0.05": COMPLETED,
}
"""What becomes of a streamed request that a fault strikes: kind of error and status, or completed."""

PLAIN_FAULTS = {
    "error;status=500;rate=0.1": ("http_status", 500),
    "truncated-body;rate=0.1": ("closed_early", None),
    "empty;rate=0.1": ("empty_response", None),
    "chunked-body;rate=0.1": COMPLETED,
    "until-close;rate=0.1": COMPLETED,
}


def fate(line):
    """How a request ended, by its line."""
    error = line["error"]
    return COMPLETED if error is None else (error["kind"], error["code"])


@pytest.mark.parametrize(
    ("flags", "faults"), [(("--streaming",), STREAM_FAULTS), ((), PLAIN_FAULTS)], ids=["streamed", "plain"]
)
def test_each_fault_becomes_the_record_it_should(aiperf, mock_process, tmp_path, flags, faults):
    truth_log = tmp_path / "truth"
    spec = [word for fault in faults for word in ("--fault", fault)]
    server = mock_process("--ttft", "2", "--itl", "1", "--seed", "5", "--truth-log", str(truth_log), *spec)
    run = aiperf.run_small(server.url, *flags, "--concurrency", "16", "--request-count", "400")
    server.stop()
    assert run.exit_code == 0, run.stderr
    rows, lines = read_rows(truth_log), {line["metadata"]["x_request_id"]: line for line in run.lines}
    # What the last of several attempts met with is what counts.
    truth = read_truth(truth_log)
    assert lines.keys() == truth.keys()

    expected = {fault.partition(";")[0]: end for fault, end in faults.items() if not fault.startswith("error;")}
    struck = Counter()
    for request_id, line in lines.items():
        row = truth[request_id]
        if "," in row.fault:
            continue  # Faults that meet are another matter; the accounts below hold for them too.
        end = expected.get(row.fault, COMPLETED) if row.fault != "error" else ("http_status", row.status)
        assert fate(line) == end, (row.fault, line["error"])
        struck[row.fault] += 1
    assert struck.keys() == {"", "error", *expected}

    summary = run.summary
    ends = Counter(map(fate, lines.values()))
    completed = ends.pop(COMPLETED)
    assert run.errors() == dict(ends)
    assert run.value("request_count") == completed
    assert run.value("error_request_count") == sum(ends.values()) == 400 - completed
    assert summary["credits"]["issued"] == 400
    assert run.reconciles
    assert len(rows) >= 400
    names = [f"{kind} {status}" if status else kind for kind, status in ends]
    assert sum(name in run.stdout for name in names) >= min(5, len(names))


def test_a_stream_that_just_ends_is_a_truncated_stream(aiperf, mock_server):
    url = mock_server("--fault", "no-done,no-finish")
    run = aiperf.run_small(url, "--streaming", "--concurrency", "2", "--request-count", "4")
    assert run.exit_code == 1
    assert run.errors() == {("truncated_stream", None): 4}


def test_a_server_that_falls_silent_is_a_timeout(aiperf, mock_server):
    """Before its first byte, and in the middle of a stream."""
    url = mock_server("--fault", "stall;after=0;rate=0.5", "--fault", "stall;after=2")
    flags = ("--streaming", "--concurrency", "8", "--request-count", "8", "--request-timeout-seconds", "1")
    run = aiperf.run_small(url, *flags)
    assert run.exit_code == 1
    assert "no request succeeded: timeout: no complete response within 1 s" in run.stderr
    assert run.errors() == {("timeout", None): 8}


def test_connections_that_the_server_closed_while_idle_are_replaced_without_a_failure(aiperf, mock_server):
    url = mock_server("--idle-timeout", "0.05")
    load = ("--request-rate", "8", "--arrival-pattern", "constant", "--request-count", "12")
    run = aiperf.run_small(url, *load)
    assert run.exit_code == 0
    assert run.value("request_count") == 12
    # Most gaps between requests were longer than the server waits; beside other tests not every one.
    assert run.summary["http_req_connection_reused"]["avg"] < 0.5


# Servers that speak no HTTP, or never end

Serve = Callable[[socket.socket], None]


@contextmanager
def raw_server(serve: Serve) -> Iterator[str]:
    """A server that does this with every connection, whatever it is asked. Gives its URL."""
    over = threading.Event()

    def talk(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(30)
            try:
                connection.recv(65536)
                serve(connection)
            except OSError:  # the client hung up: it had enough
                pass

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        accepting = threading.Thread(target=accept)
        accepting.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        accepting.join()


def garbage(connection):
    connection.sendall(b"\x00\xffSSH-2.0-OpenSSH_9.6\r\n" * 20)


def endless_headers(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-Filler: " + b"x" * 60_000 + b"\r\n")


def endless_body(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")


def endless_line(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"d" * 65536 + b"\r\n")


def slow_drip(connection):
    over = threading.Event()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    while not over.wait(0.05):
        connection.sendall(b"{")


def nothing_at_all(connection):
    pass


@pytest.mark.parametrize(
    ("serve", "streaming", "kinds"),
    [
        (garbage, True, {"protocol"}),
        (endless_headers, True, {"protocol"}),
        (endless_body, False, {"body_too_large", "timeout"}),
        (endless_line, True, {"body_too_large", "malformed_body", "timeout"}),
        (slow_drip, False, {"timeout"}),
        (nothing_at_all, True, {"closed_early", "reset"}),
    ],
)
def test_a_server_that_is_none_is_a_failure_of_its_kind(aiperf, serve, streaming, kinds):
    flags = ("--concurrency", "2", "--request-count", "4", "--request-timeout-seconds", "1")
    with raw_server(serve) as url:
        run = aiperf.run_small(url, *(("--streaming",) if streaming else ()), *flags)
    assert run.exit_code == 1
    assert {kind for kind, _ in run.errors()} <= kinds
    assert sum(run.errors().values()) == 4
    assert run.reconciles
