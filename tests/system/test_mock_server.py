"""The mock server as a process, seen from raw sockets."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import trustme

from aiperf.mock.truth import read_rows, read_truth

MS = 1_000_000
CHAT = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}
STREAM = {**CHAT, "stream": True, "max_tokens": 4, "stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def url(module_mock_server):
    return module_mock_server("--ttft", "5", "--itl", "5", "--tokens", "6")


def connect(url, timeout_s=5.0):
    host, _, port = url.partition("//")[2].rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout_s)


def request_bytes(body, headers=(), path="/v1/chat/completions"):
    data = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: mock", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def raw(url, body, *headers, quiet_s=0.4, path="/v1/chat/completions"):
    """Everything that came, and how it ended: `fin`, `reset`, or `quiet` (open, and nothing comes any more)."""
    with connect(url) as sock:
        sock.sendall(request_bytes(body, headers, path))
        sock.settimeout(quiet_s)
        received = bytearray()
        try:
            while data := sock.recv(65536):
                received += data
        except TimeoutError:
            return bytes(received), "quiet"
        except ConnectionResetError:
            return bytes(received), "reset"
        return bytes(received), "fin"


def post(url, body, path="/v1/chat/completions", **headers):
    """Status, headers and whole body by a real HTTP client."""
    client = http.client.HTTPConnection(url.partition("//")[2], timeout=5)
    client.request("POST", path, json.dumps(body), {name.replace("_", "-"): value for name, value in headers.items()})
    response = client.getresponse()
    data = response.read()
    client.close()
    return response.status, dict(response.headers), data


def events(data):
    return [line[6:] for line in data.decode().splitlines() if line.startswith("data: ")]


def objects(data):
    return [json.loads(event) for event in events(data) if event != "[DONE]"]


def deltas(data):
    return [chunk["choices"][0]["delta"] for chunk in objects(data) if chunk["choices"]]


def text(data):
    return "".join(delta.get("content", "") for delta in deltas(data))


# Endpoints


def test_chat_stream_has_role_words_finish_usage_and_done(url):
    status, headers, data = post(url, STREAM)
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    first, *_, finish, usage = objects(data)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert text(data) == "the sun moved over"
    assert finish["choices"][0]["finish_reason"] == "length"
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert events(data)[-1] == "[DONE]"


def test_without_include_usage_a_stream_has_no_usage(url):
    _, _, data = post(url, {**STREAM, "stream_options": None})
    assert "usage" not in data.decode()


def test_without_a_limit_the_answer_has_the_default_length_and_stops(url):
    _, _, data = post(url, {**CHAT, "stream": True})
    assert len(text(data).split()) == 6
    assert deltas(data)[-1] == {}
    assert objects(data)[-1]["choices"][0]["finish_reason"] == "stop"


def test_max_completion_tokens_wins_over_max_tokens(url):
    _, _, data = post(url, {**STREAM, "max_completion_tokens": 2})
    assert text(data) == "the sun"


def test_chat_without_stream_is_one_object(url):
    status, headers, data = post(url, CHAT)
    answer = json.loads(data)
    assert (status, headers["content-type"], answer["object"]) == (200, "application/json", "chat.completion")
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "the sun moved over a small"}
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}


def test_completions_stream_and_whole_body_say_the_same(url):
    body = {"model": "m", "prompt": "one two", "max_tokens": 3}
    _, _, whole = post(url, body, path="/v1/completions")
    _, _, streamed = post(url, {**body, "stream": True}, path="/v1/completions")
    assert json.loads(whole)["choices"][0]["text"] == "the sun moved"
    assert json.loads(whole)["usage"]["prompt_tokens"] == 2
    assert "".join(chunk["choices"][0]["text"] for chunk in objects(streamed)) == "the sun moved"


def test_prompt_tokens_are_what_the_header_says(url):
    _, _, data = post(url, STREAM, x_mock_prompt_tokens="1234")
    assert objects(data)[-1]["usage"]["prompt_tokens"] == 1234


def test_prompt_words_are_counted_in_content_parts_and_token_ids(url):
    parts = [{"role": "user", "content": [{"type": "text", "text": "a b"}, {"type": "text", "text": "c"}]}]
    assert json.loads(post(url, {"messages": parts})[2])["usage"]["prompt_tokens"] == 3
    ids = post(url, {"prompt": [5, 6, 7, 8]}, path="/v1/completions")[2]
    assert json.loads(ids)["usage"]["prompt_tokens"] == 4


def test_models_and_health(url):
    client = http.client.HTTPConnection(url.partition("//")[2], timeout=5)
    client.request("GET", "/v1/models")
    assert json.loads(client.getresponse().read())["data"][0]["id"] == "mock-model"
    client.request("GET", "/health")
    response = client.getresponse()
    assert (response.status, response.read()) == (200, b"{}")
    client.close()


@pytest.mark.parametrize(
    ("body", "path", "status"),
    [
        (CHAT, "/v2/nothing", 404),
        ("no object", "/v1/chat/completions", 400),
        ({**CHAT, "max_tokens": -1}, "/v1/chat/completions", 400),
    ],
)
def test_nonsense_gets_an_error_object(url, body, path, status):
    got, _, data = post(url, body, path=path)
    assert got == status
    assert json.loads(data)["error"]["code"] == status


def test_get_on_an_inference_endpoint_is_not_allowed(url):
    client = http.client.HTTPConnection(url.partition("//")[2], timeout=5)
    client.request("GET", "/v1/completions")
    assert client.getresponse().status == 405
    client.close()


def test_a_connection_serves_many_requests_even_pipelined(url):
    with connect(url) as sock:
        sock.sendall(request_bytes(CHAT) * 3)
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 3 or not received.endswith(b"}}"):
            received += sock.recv(65536)
    assert received.count(b'"object":"chat.completion"') == 3


def test_a_request_may_come_in_single_bytes(url):
    with connect(url) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request_bytes(CHAT):
            sock.send(bytes([byte]))
        assert sock.recv(15) == b"HTTP/1.1 200 OK"


def test_expect_100_continue_is_answered_before_the_body_is_sent(url):
    with connect(url) as sock:
        head, _, body = request_bytes(CHAT, ["Expect: 100-continue"]).partition(b"\r\n\r\n")
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert sock.recv(15) == b"HTTP/1.1 200 OK"


def test_bytes_that_are_no_http_end_the_connection(url):
    with connect(url) as sock:
        sock.sendall(b"\x16\x03\x01\x00 what is this\r\n\r\n")
        assert sock.recv(1000) == b""


def test_connection_close_of_the_client_is_honoured(url):
    data, end = raw(url, CHAT, "Connection: close")
    assert end == "fin"
    assert b"connection: close" in data


def test_a_large_answer_outlives_a_full_window(url):
    with connect(url) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(request_bytes({**CHAT, "max_tokens": 1_000_000}, ["Connection: close", "x-mock-itl: 0"]))
        time.sleep(0.2)
        received = bytearray()
        while data := sock.recv(1 << 20):
            received += data
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert json.loads(body)["usage"]["completion_tokens"] == 1_000_000


# Faults


def fault(url, spec, body=STREAM, quiet_s=0.4):
    return raw(url, body, f"x-mock-fault: {spec}", quiet_s=quiet_s)


def test_reset_mid_stream_delivers_the_chunks_before_it(url):
    data, end = fault(url, "reset-mid-stream;after=3")
    assert (text(data), end) == ("the sun moved", "reset")


def test_close_mid_stream_is_a_clean_close_without_a_terminator(url):
    data, end = fault(url, "close-mid-stream;after=2")
    assert (text(data), end) == ("the sun", "fin")
    assert not data.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(("name", "end"), [("close-mid-stream", "fin"), ("reset-mid-stream", "reset")])
def test_a_cut_after_no_chunk_sends_no_byte(url, name, end):
    assert fault(url, f"{name};after=0") == (b"", end)
    assert fault(url, f"{name};after=0", CHAT) == (b"", end)


def test_stall_without_seconds_is_for_ever(url):
    data, end = fault(url, "stall;after=2")
    assert (text(data), end) == ("the sun", "quiet")


def test_stall_with_seconds_goes_on_afterwards(url):
    began = time.monotonic()
    data, _ = fault(url, "stall;after=2;seconds=0.3", quiet_s=1)
    assert text(data) == "the sun moved over"
    assert time.monotonic() - began > 1.3


def test_malformed_json_is_one_broken_event(url):
    data, _ = fault(url, "malformed-json;after=1")
    bodies = events(data)
    with pytest.raises(json.JSONDecodeError):
        json.loads(bodies[2])
    assert json.loads(bodies[3])["choices"]
    assert bodies[-1] == "[DONE]"


def test_not_sse_is_text_in_the_stream(url):
    data, _ = fault(url, "not-sse;after=1")
    assert b"\n<html>502 Bad Gateway</html>\n" in data


def test_error_event_takes_the_place_of_the_rest(url):
    data, end = fault(url, "error-event;after=2")
    bodies = events(data)
    assert json.loads(bodies[-2])["error"]["code"] == 500
    assert (bodies[-1], len(bodies), end) == ("[DONE]", 1 + 2 + 2, "quiet")


def test_slow_headers_come_byte_by_byte(url):
    with connect(url) as sock:
        began, reads = time.monotonic(), []
        sock.sendall(request_bytes(STREAM, ["x-mock-fault: slow-headers;seconds=0.3"]))
        while b"\r\n\r\n" not in b"".join(reads):
            reads.append(sock.recv(65536))
        assert time.monotonic() - began > 0.29
        assert len(reads) > 20


@pytest.mark.parametrize("body", [STREAM, CHAT])
def test_truncated_body_promises_more_than_it_sends(url, body):
    data, end = fault(url, "truncated-body", body)
    head, _, sent = data.partition(b"\r\n\r\n")
    promised = int(head.partition(b"content-length: ")[2].split()[0])
    assert promised > len(sent) > 0
    assert end == "fin"


@pytest.mark.parametrize(("name", "newline"), [("crlf", b"\r\n"), ("cr", b"\r")])
def test_events_end_with_the_line_ends_asked_for(url, name, newline):
    data, _ = fault(url, f"{name}, until-close")
    body = data.partition(b"\r\n\r\n")[2]
    assert body.endswith(b"data: [DONE]" + newline * 2)
    assert body.count(newline * 2) == 4 + 4
    assert not (name == "cr" and b"\n" in body)


def test_no_done_and_no_finish_leave_them_out(url):
    assert events(fault(url, "no-done")[0])[-1] != "[DONE]"
    reasons = [
        chunk["choices"][0]["finish_reason"] for chunk in objects(fault(url, "no-finish")[0]) if chunk["choices"]
    ]
    assert set(reasons) == {None}


def test_empty_is_well_formed(url):
    status, _, data = post(url, STREAM, x_mock_fault="empty")
    assert (status, text(data)) == (200, "")
    assert objects(data)[-1]["usage"]["completion_tokens"] == 0


@pytest.mark.parametrize(("name", "code"), [("continue", b"100"), ("early-hints", b"103")])
def test_interim_responses_come_first(url, name, code):
    data, _ = fault(url, name)
    assert data.startswith(b"HTTP/1.1 " + code)
    assert b"\r\n\r\nHTTP/1.1 200 OK\r\n" in data


def test_huge_headers_are_as_large_as_asked_for(url):
    data, _ = fault(url, "huge-headers;kb=40", CHAT)
    assert len(data.partition(b"\r\n\r\n")[0]) > 40_000


@pytest.mark.parametrize("body", [STREAM, CHAT])
def test_until_close_states_no_length(url, body):
    data, end = fault(url, "until-close", body)
    head = data.partition(b"\r\n\r\n")[0]
    assert end == "fin"
    assert b"content-length" not in head
    assert b"transfer-encoding" not in head


def test_chunked_body_is_chunked_without_streaming(url):
    _, headers, data = post(url, CHAT, x_mock_fault="chunked-body")
    assert headers["transfer-encoding"] == "chunked"
    assert json.loads(data)["choices"]


def test_error_carries_status_and_object(url):
    status, _, data = post(url, STREAM, x_mock_fault="error;status=429")
    assert (status, json.loads(data)["error"]["code"]) == (429, 429)


def test_an_unknown_fault_is_a_bad_request(url):
    status, _, data = post(url, STREAM, x_mock_fault="explode")
    assert status == 400
    assert "unknown fault 'explode'" in json.loads(data)["error"]["message"]


def test_whole_bodies_can_be_cut_and_spoiled(url):
    data, end = fault(url, "reset-mid-stream", CHAT)
    assert (data.count(b'"choices"'), end) == (1, "reset")
    _, _, broken = post(url, CHAT, x_mock_fault="malformed-json")
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken)


# Shapes of answers


def test_several_tokens_per_chunk_and_events_per_write(mock_process, tmp_path):
    log = tmp_path / "truth"
    server = mock_process(
        "--itl", "10", "--tokens-per-chunk", "3", "--events-per-write", "2", "--truth-log", str(log), "--no-role-chunk"
    )
    _, _, data = post(server.url, {**STREAM, "max_tokens": 10}, x_request_id="r")
    contents = [delta["content"] for delta in deltas(data) if delta]
    assert contents == ["the sun moved", " over a small", " field and the", " light"]
    server.stop()
    truth = read_truth(log)["r"]
    assert [due_ns - truth.received_ns for due_ns in truth.due_ns] == [10 * MS, 30 * MS]


def test_reasoning_comes_first_and_is_counted(mock_server):
    url = mock_server("--reasoning-tokens", "2")
    _, _, data = post(url, STREAM)
    assert [delta.get("reasoning_content") for delta in deltas(data)[1:3]] == ["the", " sun"]
    assert text(data) == " moved over"
    assert objects(data)[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}


def test_tool_calls_stream_valid_arguments(mock_server):
    _, _, data = post(mock_server("--tool-calls"), STREAM)
    calls = [delta["tool_calls"][0]["function"] for delta in deltas(data) if "tool_calls" in delta]
    assert calls[0]["name"] == "tell"
    assert json.loads("".join(call["arguments"] for call in calls)) == {"text": "the sun moved over"}
    assert objects(data)[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_chunk_bytes_pads_every_event(mock_server):
    _, _, data = post(mock_server("--chunk-bytes", "1000"), STREAM)
    assert [len(f"data: {event}\n\n") for event in events(data)[1:5]] == [1000] * 4
    assert len(text(data).split()) == 4


def test_the_role_chunk_can_come_with_the_head(mock_server):
    with connect(mock_server("--role-chunk-early", "--ttft", "400")) as sock:
        sock.sendall(request_bytes(STREAM))
        first = sock.recv(65536)
    assert b'"role":"assistant"' in first
    assert b'"content":"the"' not in first


def test_no_usage_is_for_both_kinds(mock_server):
    url = mock_server("--no-usage")
    assert b"usage" not in post(url, CHAT)[2]
    assert b"usage" not in post(url, STREAM)[2]


# Flags of the whole server


def test_auth_token_is_required(mock_server):
    url = mock_server("--auth-token", "secret")
    assert post(url, CHAT)[0] == 401
    assert post(url, CHAT, authorization="Bearer secret")[0] == 200


def test_error_rate_is_deterministic_by_seed(mock_server):
    flags = ("--error-rate", "0.5", "--error-status", "503", "--seed", "7")
    runs = [[post(url, CHAT)[0] for _ in range(40)] for url in (mock_server(*flags), mock_server(*flags))]
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}


def test_connection_close_and_idle_timeout(mock_server):
    assert raw(mock_server("--connection-close"), CHAT)[1] == "fin"
    assert raw(mock_server("--idle-timeout", "0.2"), CHAT, quiet_s=5)[1] == "fin"


def test_slots_make_the_others_wait(mock_process, tmp_path):
    log = tmp_path / "truth"
    server = mock_process("--slots", "1", "--ttft", "50", "--tokens", "1", "--truth-log", str(log))
    socks = [connect(server.url) for _ in range(4)]
    for sock in socks:
        sock.sendall(request_bytes(CHAT, ["Connection: close"]))
    for sock in socks:
        while sock.recv(65536):
            pass
        sock.close()
    server.stop()
    rows = sorted(read_rows(log), key=lambda row: row.started_ns)
    assert len(rows) == 4
    for before, after in pairwise(rows):
        assert after.started_ns >= before.sent_ns[-1]
        assert after.due_ns[0] == after.started_ns + 50 * MS


def test_the_whole_server_stalls(mock_process, tmp_path):
    log = tmp_path / "truth"
    server = mock_process(
        *("--itl", "20", "--tokens", "20", "--stall-at", "0.1", "--stall-for", "0.2", "--truth-log", str(log))
    )
    post(server.url, {**CHAT, "stream": True})
    server.stop()
    (row,) = read_rows(log)
    begin_ns, end_ns = row.received_ns + 100 * MS, row.received_ns + 300 * MS
    due_within = [due for due in row.due_ns if begin_ns <= due < end_ns]
    assert len(due_within) == 10
    late = [sent for due, sent in zip(row.due_ns, row.sent_ns, strict=True) if due in due_within]
    assert min(late) >= end_ns


# Truth


def test_nothing_is_sent_before_it_is_due_and_due_times_never_drift(mock_process, tmp_path):
    log = tmp_path / "truth"
    server = mock_process("--ttft", "30", "--itl", "7", "--truth-log", str(log))
    socks = []
    before_ns = time.time_ns()
    for number in range(20):
        sock = connect(server.url)
        sock.sendall(request_bytes({**STREAM, "max_tokens": 30}, [f"X-Request-ID: r{number}", "Connection: close"]))
        socks.append(sock)
    for sock in socks:
        while sock.recv(65536):
            pass
        sock.close()
    after_ns = time.time_ns()
    assert server.stop() == 0
    rows = read_truth(log)
    assert set(rows) == {f"r{number}" for number in range(20)}
    for row in rows.values():
        assert before_ns <= row.received_ns <= after_ns
        assert row.due_ns == [row.received_ns + 30 * MS + i * 7 * MS for i in range(30)]
        assert all(sent >= due for sent, due in zip(row.sent_ns, row.due_ns, strict=True))
        assert all(after >= sent for after, sent in zip(row.after_ns, row.sent_ns, strict=True))
        assert row.sent_ns == sorted(row.sent_ns)
        assert (row.status, row.ending, row.tokens, row.prompt_tokens) == (200, "complete", 30, 3)


def test_header_delays_are_this_requests_own(mock_process, tmp_path):
    log = tmp_path / "truth"
    server = mock_process("--ttft", "1000", "--itl", "1000", "--truth-log", str(log))
    post(server.url, STREAM, x_mock_ttft="20", x_mock_itl="2.5", x_request_id="r")
    server.stop()
    row = read_truth(log)["r"]
    assert [due - row.received_ns for due in row.due_ns] == [20_000_000, 22_500_000, 25_000_000, 27_500_000]


def test_drawn_delays_are_deterministic_and_vary(mock_process, tmp_path):
    dues = []
    for run in range(2):
        log = tmp_path / f"truth{run}"
        server = mock_process(
            *("--ttft", "20", "--itl", "5", "--latency", "lognormal", "--seed", "3", "--truth-log", str(log))
        )
        post(server.url, {**STREAM, "max_tokens": 20})
        server.stop()
        (row,) = read_rows(log)
        dues.append([due - row.received_ns for due in row.due_ns])
        assert all(sent >= due for sent, due in zip(row.sent_ns, row.due_ns, strict=True))
    assert dues[0] == dues[1]
    assert len({after - before for before, after in pairwise(dues[0])}) == 19


def test_the_log_tells_endings_apart(mock_process, tmp_path):
    log = tmp_path / "truth"
    server = mock_process("--ttft", "1", "--itl", "10", "--truth-log", str(log))
    raw(server.url, STREAM, "X-Request-ID: reset", "X-Mock-Fault: reset-mid-stream;after=1")
    raw(server.url, STREAM, "X-Request-ID: closed", "X-Mock-Fault: close-mid-stream;after=2")
    raw(server.url, STREAM, "X-Request-ID: error", "X-Mock-Fault: error;status=503", quiet_s=0.1)
    raw(server.url, STREAM, "X-Request-ID: gone", "X-Mock-Fault: stall;after=1", quiet_s=0.1)
    with connect(server.url) as sock:
        sock.sendall(request_bytes(STREAM, ["X-Request-ID: unfinished", "X-Mock-Fault: stall;after=1"]))
        sock.recv(65536)
        server.stop()
    rows = read_truth(log)
    assert {name: row.ending for name, row in rows.items()} == {
        "reset": "reset",
        "closed": "closed",
        "error": "complete",
        "gone": "client-gone",
        "unfinished": "unfinished",
    }
    assert len(rows["closed"].sent_ns) == 2
    assert (rows["error"].status, rows["error"].fault) == (503, "error")


def test_the_log_is_written_while_the_server_runs(mock_process, tmp_path):
    log = tmp_path / "truth"
    server = mock_process("--truth-log", str(log))
    post(server.url, CHAT)
    deadline_s = time.monotonic() + 10
    while not log.read_bytes() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert len(read_rows(log)) == 1


# Processes


def test_several_processes_share_the_port_and_end_together(mock_process, tmp_path):
    log = tmp_path / "truth"
    server = mock_process("--processes", "3", "--truth-log", str(log))
    for number in range(30):
        assert post(server.url, CHAT, x_request_id=str(number))[0] == 200
    children = children_of(server.process.pid)
    assert len(children) == 3
    assert server.stop() == 0
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert set(read_truth(log)) == {str(number) for number in range(30)}


def test_children_end_with_a_killed_parent(mock_process):
    server = mock_process("--processes", "2")
    children = children_of(server.process.pid)
    server.process.kill()
    server.process.wait()
    deadline_s = time.monotonic() + 10
    while any(is_running(child) for child in children) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert not any(is_running(child) for child in children)


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid):
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_signals_end_it_cleanly_and_free_the_port(mock_process, number, processes):
    server = mock_process("--processes", processes)
    with connect(server.url) as sock:
        sock.sendall(request_bytes(STREAM, ["x-mock-fault: stall"]))
        sock.recv(65536)
        server.process.send_signal(number)
        assert server.process.wait(5) == 0
    assert server.process.stderr.read() == ""
    again = mock_process("--port", str(server.port))
    assert again.port == server.port


def test_several_addresses_share_a_port(mock_process):
    server = mock_process("--host", "127.0.0.1", "--host", "127.0.0.2", "--host", "::1")
    lines = [server.line, server.process.stdout.readline(), server.process.stdout.readline()]
    urls = [line.split()[-1] for line in lines]
    assert [url.rpartition(":")[0] for url in urls] == ["http://127.0.0.1", "http://127.0.0.2", "http://[::1]"]
    for url in urls:
        assert raw(url, CHAT, "Connection: close")[1] == "fin"


def test_tls(mock_process, tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    log = tmp_path / "truth"
    server = mock_process("--tls-cert", str(tmp_path / "server.pem"), "--truth-log", str(log), "--itl", "1")
    assert server.url.startswith("https://")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    client = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=5)
    for _ in range(2):
        client.request("POST", "/v1/chat/completions", json.dumps(STREAM))
        assert text(client.getresponse().read()) == "the sun moved over"
    client.request("POST", "/v1/chat/completions", json.dumps(STREAM), {"x-mock-fault": "until-close"})
    assert text(client.getresponse().read()) == "the sun moved over"
    client.close()
    server.stop()
    assert [row.ending for row in read_rows(log)] == ["complete"] * 3


# The command line


def command(*flags):
    return subprocess.run(
        [sys.executable, "-m", "aiperf", "mock-server", *flags], capture_output=True, text=True, timeout=20, check=False
    )


def test_help_explains_flags_and_faults():
    done = command("--help")
    assert done.returncode == 0
    assert "--ttft MS" in done.stdout
    assert "reset-mid-stream;after=N" in done.stdout


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--ttft", "-1"], "--ttft"),
        (["--fault", "explode"], "unknown fault 'explode'"),
        (["--fault", "crlf;after=1"], "no parameter 'after'"),
        (["--error-rate", "2"], "between 0 and 1"),
        (["--port", "70000"], "65535"),
        (["--tls-key", "x"], "--tls-cert"),
        (["--tls-cert", os.devnull], "--tls-cert"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_flags_are_named(flags, says):
    done = command(*flags)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_taken_port_is_said_so(url, processes):
    port = url.rpartition(":")[2]
    done = command("--port", port, "--processes", processes)
    assert done.returncode == 3
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_that_cannot_be_written_is_said_so(tmp_path):
    for processes in ("1", "2"):
        done = command("--truth-log", str(tmp_path / "missing" / "log"), "--processes", processes)
        assert done.returncode == 3
        assert "cannot write the truth log" in done.stderr
        assert "Traceback" not in done.stderr
