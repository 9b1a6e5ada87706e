"""Reading `inputs.json`, the dataset of an earlier run as it was sent.

Owns: recognising the file and taking the sessions out of it. Does not own: writing it (`aiperf.report.inputs_json`),
checks of what is in a payload (`input_file`).

We write it with a session on each line, and such a file is read line by line, in bounded memory. Any other layout of
the same JSON (indented, on one line, from another tool) is read as a whole.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

_HEAD = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*"data"\s*:\s*\[')
_OUR_FIRST_LINE = b'{"data": ['
_OUR_LAST_LINE = b"]}"


class Session(msgspec.Struct, frozen=True):
    session_id: str
    payloads: list[msgspec.Raw]
    """The JSON bodies, as bytes."""


class _Inputs(msgspec.Struct, frozen=True):
    data: list[Session]


_decode_session = msgspec.json.Decoder(Session).decode


def is_inputs_json(head: bytes) -> bool:
    """Whether a file that begins so is an `inputs.json`."""
    return _HEAD.match(head) is not None


def read_inputs_json(path: Path) -> Iterator[Session]:
    """The sessions, in order. Raises: ValueError if the file has another form; OSError if it cannot be read."""
    with path.open("rb") as file:
        if file.readline().rstrip() == _OUR_FIRST_LINE:
            for line in file:
                line = line.strip()
                if line == _OUR_LAST_LINE:
                    return
                yield _decode_session(line.removesuffix(b","))
            raise ValueError("the file ends in the middle")
    yield from msgspec.json.decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), type=_Inputs).data
