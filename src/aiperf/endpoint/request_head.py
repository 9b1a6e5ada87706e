"""The head of a request: request line and headers as bytes, prepared once and filled in per request.

Owns: which headers every request carries. Does not own: bodies (the dialects), the URL's parts (`target`).
"""

from collections.abc import Mapping

USER_AGENT = "aiperf"


class RequestHead:
    """Writes heads for one target."""

    __slots__ = ("_names_session", "_prefix")

    def __init__(
        self,
        *,
        path: str,
        host: str,
        headers: Mapping[str, str],
        api_key: str | None,
        streaming: bool,
        keep_alive: bool,
        method: str = "POST",
        session_header: str | None = None,
    ) -> None:
        """`session_header`: says the conversation's id once more, for routers that know it by this name."""
        lines = {
            "Host": host,
            "User-Agent": USER_AGENT,
            "Content-Type": "application/json",
            "Accept": "text/event-stream" if streaming else "application/json",
        }
        if not keep_alive:
            lines["Connection"] = "close"
        if api_key is not None:
            lines["Authorization"] = f"Bearer {api_key}"
        # A header of the user's replaces ours of the same name, whatever its case.
        given = {name.lower() for name in headers}
        merged = {name: value for name, value in lines.items() if name.lower() not in given} | dict(headers)
        text = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in merged.items())
        self._prefix = text.encode("latin-1", "replace").replace(b"%", b"%%") + (
            b"X-Request-ID: %s\r\nX-Correlation-ID: %s\r\n%sContent-Length: %d\r\n\r\n"
        )
        self._names_session = f"{session_header}: ".encode() if session_header else b""

    def write(self, request_id: str, correlation_id: str, body_length: int) -> bytes:
        """The head, closed by the blank line."""
        conversation = correlation_id.encode()
        session = b"%s%s\r\n" % (self._names_session, conversation) if self._names_session else b""
        return self._prefix % (request_id.encode(), conversation, session, body_length)
