"""`inputs.json`: the dataset as sent, usable again as an input file.

Owns: the file's shape. Does not own: the payloads (`aiperf.dataset`). Written as it comes: a dataset may be larger than
memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from aiperf.report.atomic import atomic_file

FILE_NAME = "inputs.json"
_encode = msgspec.json.Encoder().encode


def write_inputs(path: Path, sessions: Iterable[tuple[str, Sequence[Mapping[str, Any] | msgspec.Raw]]]) -> None:
    """Writes `{"data": [{"session_id": …, "payloads": [{…}, …]}, …]}`, a session a line.

    `sessions`: id and request bodies of each; a body may be ready JSON (`msgspec.Raw`).
    Raises: InfrastructureError if the file cannot be written.
    """
    with atomic_file(path) as file:
        file.write(b'{"data": [')
        separator = b"\n"
        for session_id, payloads in sessions:
            file.write(separator + _encode({"session_id": session_id, "payloads": payloads}))
            separator = b",\n"
        file.write(b"\n]}\n")
