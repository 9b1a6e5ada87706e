"""The truth log: for each request, when the server got it and when it sent each part of the answer.

Owns: the rows, their file format (JSON lines), writing and reading them. Does not own: taking the stamps (`server`).

All instants are ns on CLOCK_REALTIME. A client on the same host can compare its own stamps with them directly.
"""

from pathlib import Path

import msgspec

FLUSH_BYTES = 256 * 1024


class Truth(msgspec.Struct):
    """What happened to one request, as its server saw it."""

    request_id: str
    """Its `X-Request-ID`; without one a number of the server's own: `#<process>-<number>`."""
    received_ns: int
    """Arrival of the read that held its last byte."""
    kernel_stamp: bool
    """`received_ns` is the kernel's receive stamp; else the clock was read after the bytes were."""
    started_ns: int
    """What the delays count from: `received_ns`, or later if it had to wait for a slot."""
    status: int
    fault: str
    """Names of the faults that struck it."""
    ending: str
    """`complete`, `closed` or `reset` (by the server), `client-gone`, or `unfinished` (when the server ended)."""
    prompt_tokens: int
    tokens: int
    due_ns: list[int]
    """When each write was due. Of an answer cut short: only of those that were sent."""
    sent_ns: list[int]
    """The clock immediately before each send."""
    after_ns: list[int]
    """The clock immediately after it."""
    queued_writes: int
    """Writes that had to wait because the client's window was full; for them `sent_ns` is the first attempt."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Truth).decode


class TruthLog:
    """Appends rows to a file, in large writes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """There are rows that are not in the file yet."""
        return bool(self._buffer)

    def append(self, row: Truth) -> None:
        self._buffer += _encode(row)
        self._buffer += b"\n"
        if len(self._buffer) >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        self._file.write(self._buffer)
        self._buffer.clear()

    def close(self) -> None:
        self.flush()
        self._file.close()


def process_path(path: Path, process: int) -> Path:
    """The file of one process of several."""
    return path.with_name(f"{path.name}.{process}")


def read_rows(path: Path) -> list[Truth]:
    """Every row of the log, that of all processes together. Order: by arrival. Raises: OSError if there is no log."""
    paths = [path] if path.exists() else sorted(path.parent.glob(f"{path.name}.*"))
    if not paths:
        raise FileNotFoundError(f"no truth log at {path}")
    rows = [_decode(line) for each in paths for line in each.read_bytes().splitlines()]
    return sorted(rows, key=lambda row: row.received_ns)


def read_truth(path: Path) -> dict[str, Truth]:
    """The rows by request id. Of requests with the same id (a client tried again) the last to arrive is kept."""
    return {row.request_id: row for row in read_rows(path)}
