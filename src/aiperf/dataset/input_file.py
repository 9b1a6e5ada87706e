"""The user's input file: one request a line, or an earlier run's `inputs.json`.

Owns: reading it as a stream and saying everything that is wrong with it, by line. Does not own: bodies of requests
(`aiperf.endpoint`), how often an entry is used (`sampling`).

A line is a JSON object with either `text` or `messages`; optionally how many output tokens to ask for, and a
`session_id`. Every other field goes into the request's body as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from aiperf.dataset.inputs_json import is_inputs_json, read_inputs_json
from aiperf.endpoint.dialect import RequestContent
from aiperf.errors import PlanError, Problem

ORIGIN = "--input-file"
SHOWN_PROBLEMS_COUNT = 20

_LENGTH_FIELDS = ("max_tokens", "max_completion_tokens", "output_length")
_OWN_FIELDS = frozenset({"text", "messages", "session_id", "type", *_LENGTH_FIELDS})
_UNSUPPORTED_FIELDS = {
    "texts": "write each request on a line of its own, with `text`",
    "turns": "conversations of several turns are not supported yet",
    "timestamp": "fixed schedules are not supported yet",
    "delay": "fixed schedules are not supported yet",
    "image": "only text is supported yet; put parts into `messages`",
    "images": "only text is supported yet; put parts into `messages`",
    "audio": "only text is supported yet; put parts into `messages`",
    "audios": "only text is supported yet; put parts into `messages`",
    "video": "only text is supported yet; put parts into `messages`",
    "videos": "only text is supported yet; put parts into `messages`",
}
"""Fields other benchmarks' files have. Sent on as they are, they would silently mean nothing to a server."""

_HEAD_BYTES = 4096
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of an input file."""

    content: RequestContent | None
    """What is asked; None where a ready body does not say so in a known way."""
    session_id: str | None = None
    body: bytes | None = None
    """A ready body, to be sent as it is."""
    streaming: bool = False
    """A ready body asks for a stream."""


class _Findings:
    """Collects what is wrong, of which the first lines are shown and the others counted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shown: list[Problem] = []
        self._count = 0

    def add(self, place: str, what: str) -> None:
        self._count += 1
        if self._count <= SHOWN_PROBLEMS_COUNT:
            self._shown.append(Problem(what, f"{self._path}, {place}" if place else str(self._path)))

    def __bool__(self) -> bool:
        return self._count > 0

    def error(self) -> PlanError:
        hidden_count = self._count - len(self._shown)
        if hidden_count:
            return PlanError(*self._shown, Problem(f"and {hidden_count} more problems", str(self._path)))
        return PlanError(*self._shown)


def read_input_file(path: Path) -> Iterator[Entry]:
    """The entries of the file, in order, read as a stream.

    Raises: PlanError, at the end, with every problem found; no entry follows the first problem.
    """
    findings = _Findings(path)
    entry_count = 0
    try:
        with path.open("rb") as file:
            as_sent = is_inputs_json(file.read(_HEAD_BYTES))
        for entry in (_sent_entries if as_sent else _line_entries)(path, findings):
            entry_count += 1
            if not findings:
                yield entry
    except OSError as error:
        raise PlanError(Problem(f"{path} cannot be read: {error.strerror}", ORIGIN)) from None
    if findings:
        raise findings.error()
    if not entry_count:
        raise PlanError(Problem(f"{path} has no request", ORIGIN, 'Write one on each line: {"text": "Hello"}.'))


def _line_entries(path: Path, findings: _Findings) -> Iterator[Entry]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            place = f"line {number}"
            try:
                fields = msgspec.json.decode(line)
            except UnicodeDecodeError:
                findings.add(place, "is not UTF-8 text")
                continue
            except ValueError as error:
                findings.add(place, f"is not JSON: {error}")
                continue
            faults = list(_line_faults(fields))
            for fault in faults:
                findings.add(place, fault)
            if not faults:
                yield _line_entry(fields)


def _line_entry(fields: Mapping[str, Any]) -> Entry:
    messages = fields.get("messages")
    content = RequestContent(
        text=fields.get("text"),
        messages=None if messages is None else tuple(messages),
        max_tokens=next((fields[name] for name in _LENGTH_FIELDS if fields.get(name) is not None), None),
        extra={name: value for name, value in fields.items() if name not in _OWN_FIELDS},
    )
    return Entry(content, session_id=fields.get("session_id"))


def _line_faults(fields: Any) -> Iterator[str]:
    """What is wrong with a line, which should be an object."""
    if not isinstance(fields, dict):
        yield f'is no JSON object like {{"text": "Hello"}}, but {_kind(fields)}'
        return
    yield from (f"`{name}`: {_UNSUPPORTED_FIELDS[name]}" for name in fields if name in _UNSUPPORTED_FIELDS)
    if fields.get("type") not in (None, "single_turn"):
        yield f"`type` is {fields['type']!r}: only single_turn is supported yet"
    text, messages = fields.get("text"), fields.get("messages")
    if text is not None and messages is not None:
        yield "has both `text` and `messages`: leave one of them out"
    elif messages is not None:
        yield from _messages_faults(messages)
    elif text is None and fields.keys().isdisjoint(_UNSUPPORTED_FIELDS):
        yield "has neither `text` nor `messages`"
    elif text is not None and not isinstance(text, str):
        yield f"`text` is {_kind(text)}, not a string"
    elif text == "":
        yield "`text` is empty"
    session_id = fields.get("session_id")
    if session_id is not None and not isinstance(session_id, str):
        yield f"`session_id` is {_kind(session_id)}, not a string"
    yield from _length_faults(fields)


def _length_faults(fields: Mapping[str, Any]) -> Iterator[str]:
    lengths = {name: fields[name] for name in _LENGTH_FIELDS if fields.get(name) is not None}
    for name, value in lengths.items():
        if not _is_count(value):
            yield f"`{name}` is {value!r}, not a whole number of at least 1"
    if len(set(map(repr, lengths.values()))) > 1:
        yield f"asks for different lengths: {', '.join(f'`{name}` {value!r}' for name, value in lengths.items())}"


def _messages_faults(messages: Any) -> Iterator[str]:
    if not isinstance(messages, list):
        yield f"`messages` is {_kind(messages)}, not a list"
        return
    if not messages:
        yield "`messages` is empty"
    for position, message in enumerate(messages):
        name = f"`messages[{position}]`"
        if not isinstance(message, dict):
            yield f"{name} is {_kind(message)}, not an object"
            continue
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str) or not role:
            yield f"{name} has no `role`"
        if content is None:
            if message.keys().isdisjoint({"tool_calls", "function_call"}):
                yield f"{name} has no `content`"
        elif not isinstance(content, str | list):
            yield f"{name}: `content` is {_kind(content)}, neither a string nor a list of parts"


def _sent_entries(path: Path, findings: _Findings) -> Iterator[Entry]:
    """The entries of an `inputs.json`."""
    try:
        for position, session in enumerate(read_inputs_json(path)):
            place = f"data[{position}] (session {session.session_id})"
            if len(session.payloads) != 1:
                findings.add(place, f"has {len(session.payloads)} payloads: only single turns are supported yet")
                continue
            # A line break in JSON is always mere space. Without any, the next inputs.json has a session a line again.
            body = bytes(session.payloads[0]).translate(_ONE_LINE)
            fields = msgspec.json.decode(body)
            if not isinstance(fields, dict):
                findings.add(place, f"its payload is {_kind(fields)}, not an object")
                continue
            yield Entry(_content_of_body(fields), session.session_id, body, fields.get("stream") is True)
    except UnicodeDecodeError:
        findings.add("", "is not UTF-8 text")
    except ValueError as error:
        findings.add("", f"is no inputs.json: {error}")


def _content_of_body(fields: Mapping[str, Any]) -> RequestContent | None:
    """What a ready body asks, if it has a text prompt or messages."""
    prompt, messages = fields.get("prompt"), fields.get("messages")
    lengths = (fields.get(name) for name in ("max_completion_tokens", "max_tokens"))
    max_tokens = next((length for length in lengths if _is_count(length)), None)
    if isinstance(prompt, str):
        return RequestContent(text=prompt, max_tokens=max_tokens)
    if messages is not None and not any(_messages_faults(messages)):
        return RequestContent(messages=tuple(messages), max_tokens=max_tokens)
    return None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _kind(value: Any) -> str:
    """What a JSON value is, for people."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
