"""`inputs.json`: the dataset as it was sent, which is an input file again.

Owns: the form `{"data": [{"session_id", "payloads": [...]}]}`, writing and reading it. Does not own: checks of what is
in a payload (`input_file`). Payloads go through byte for byte.

Written with a session on each line, so that reading needs no more memory than the longest; any other layout of the same
JSON is read as well, as a whole.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

_HEAD = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*"data"\s*:\s*\[')
_FIRST_LINE = b'{"data":['
_LAST_LINE = b"]}"


class Session(msgspec.Struct, frozen=True):
    session_id: str
    payloads: list[msgspec.Raw]
    """The JSON bodies, as bytes."""


class _Inputs(msgspec.Struct, frozen=True):
    data: list[Session]


_decode_session = msgspec.json.Decoder(Session).decode
_encode = msgspec.json.Encoder().encode


def is_inputs_json(head: bytes) -> bool:
    """Whether a file that begins so is an `inputs.json`."""
    return _HEAD.match(head) is not None


def write_inputs_json(path: Path, sessions: Iterable[tuple[str, Iterable[bytes]]]) -> None:
    """Writes the sessions (`Store.payloads()`), each an id and its bodies; the file appears when it is whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(_FIRST_LINE)
        separator = b"\n"
        for session_id, bodies in sessions:
            file.write(separator + _encode(Session(session_id, [msgspec.Raw(body) for body in bodies])))
            separator = b",\n"
        file.write(b"\n" + _LAST_LINE + b"\n")
    temporary.replace(path)


def read_inputs_json(path: Path) -> Iterator[Session]:
    """The sessions, in order. Raises: ValueError if the file has another form; OSError if it cannot be read."""
    with path.open("rb") as file:
        if file.readline().strip() == _FIRST_LINE:
            for line in file:
                line = line.strip()
                if line == _LAST_LINE:
                    return
                yield _decode_session(line.removesuffix(b","))
            raise ValueError(f"the file ends without its last line, {_LAST_LINE.decode()}")
    yield from msgspec.json.decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), type=_Inputs).data
