"""The head of a request, byte for byte."""

from aiperf.endpoint.request_head import RequestHead


def head(**more: str) -> list[bytes]:
    made = RequestHead(
        path="/v1", host="llm", headers={"X-Share": "5%"}, api_key=None, streaming=False, keep_alive=True, **more
    )
    return made.write("request-7", "conversation-3", 42).split(b"\r\n")


def test_each_request_names_itself_its_conversation_and_its_length():
    assert head()[-5:] == [
        b"X-Request-ID: request-7",
        b"X-Correlation-ID: conversation-3",
        b"Content-Length: 42",
        b"",
        b"",
    ]
    assert b"X-Share: 5%" in head()


def test_a_session_header_says_the_conversation_once_more():
    with_session = head(session_header="X-Session%")
    assert [line for line in with_session if line not in head()] == [b"X-Session%: conversation-3"]
    assert len(with_session) == len(head()) + 1
