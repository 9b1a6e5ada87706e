"""What a server says went wrong, as one line for the user.

Owns: the shapes in which OpenAI-compatible servers, their frameworks and gateways report errors. Anything in, text out;
never raises, since an error's form is promised by nobody.
"""

from typing import Any

import msgspec

ERROR_LIMIT_CHARS = 500

_decode_json = msgspec.json.Decoder().decode


def error_line(error: Any) -> str:
    """The message in a decoded error object (or string, or list of them): one line, at most ERROR_LIMIT_CHARS."""
    return _one_line(_message(error))


def error_line_of_body(body: bytes) -> str:
    """The message in the body of an error response, JSON or not; "" if the body is blank."""
    try:
        return error_line(_decode_json(body))
    except (ValueError, RecursionError):
        return _one_line(body.decode(errors="replace"))


def _message(error: Any) -> str:
    # OpenAI {"error": {"message"}}, vLLM {"object": "error", "message"}, TGI {"error": "text"}, FastAPI {"detail": … or
    # [{"msg"}, …]}; anything else is shown as the JSON it is.
    while isinstance(error, dict):
        for key in ("error", "message", "detail", "msg"):
            if error.get(key):
                error = error[key]
                break
        else:
            break
    if error is None or isinstance(error, str):
        return error or ""
    if isinstance(error, list) and error and all(isinstance(item, dict) and item.get("msg") for item in error):
        return "; ".join(str(item["msg"]) for item in error)
    return msgspec.json.encode(error).decode()


def _one_line(text: str) -> str:
    line = " ".join(text[: 8 * ERROR_LIMIT_CHARS].split())
    return line if len(line) <= ERROR_LIMIT_CHARS else line[: ERROR_LIMIT_CHARS - 1] + "…"
