import hypothesis.strategies as st
import pytest
from hypothesis import given

from aiperf.endpoint.server_error import ERROR_LIMIT_CHARS, error_line_of_body


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b'{"error":{"message":"no model `m`","type":"NotFoundError","code":404}}', "no model `m`"),
        (b'{"object":"error","message":"too long","code":400}', "too long"),
        (b'{"error":"overloaded"}', "overloaded"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":[{"loc":["body"],"msg":"field required"},{"msg":"bad"}]}', "field required; bad"),
        (b'{"error":{"code":7}}', '{"code":7}'),
        (b'{"code":7}', '{"code":7}'),
        (b"upstream\r\n  connect   error\n", "upstream connect error"),
        (b"\xff", "\ufffd"),
        (b"null", ""),
        (b" ", ""),
    ],
)
def test_error_message_of_a_body(body: bytes, line: str) -> None:
    assert error_line_of_body(body) == line


def test_long_message_is_cut() -> None:
    line = error_line_of_body(b"x" * 10_000)
    assert len(line) == ERROR_LIMIT_CHARS
    assert line.endswith("…")


def test_json_nested_beyond_reason_is_shown_as_text() -> None:
    assert error_line_of_body(b"[" * 100_000).startswith("[[[")


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_body_gives_one_line(body: bytes) -> None:
    assert len(error_line_of_body(body).splitlines()) <= 1
