"""Fetching one file: compressed, resumed after a cut, checked, and under its name only when it is whole.

Owns: that. Does not own: which files, how many at a time (`client`). Runs in a thread.

What was received stays unpacked on disk and in the unpacker's state, so a cut costs nothing but the new connection:
the transfer goes on in the middle of the compressed stream.
"""

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import zstandard

from aiperf.api.connection import Connections, DroppedError
from aiperf.api.contract import SHA256_HEADER
from aiperf.api.failures import DamagedTransferError
from aiperf.api.patience import Patience
from aiperf.api.persist import check, persist

log = logging.getLogger(__name__)

DAMAGED_LIMIT = 3
"""So often a file may arrive damaged."""

WRITE_BYTES = 1 << 20


def download(
    connections: Connections,
    path: str,
    target: Path,
    *,
    patience_s: float,
    received: Callable[[int], None] = lambda _: None,
) -> str:
    """Fetches `path` to the file `target`; returns its SHA-256.

    `received` hears of every chunk's size in bytes as it came, compressed.
    Raises: DamagedTransferError, ControllerLostError, ApiRefusedError; OSError if the disk will not have it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        for _ in range(DAMAGED_LIMIT):
            with _Unpacking(part) as unpacking:
                transfer = _Transfer(connections, path, unpacking, received)
                persist(transfer.attempt, connections, patience_s=patience_s, doing=f"fetching {target.name}")
                sha256 = unpacking.finish()
            if sha256 == transfer.sha256:
                part.replace(target)
                return sha256
            log.warning("%s arrived damaged; it is fetched again", target.name)
    finally:
        part.unlink(missing_ok=True)
    raise DamagedTransferError(f"{target.name} arrived damaged {DAMAGED_LIMIT} times: its checksum does not match")


class _Transfer:
    """The state that outlives a connection."""

    def __init__(
        self, connections: Connections, path: str, unpacking: "_Unpacking", received: Callable[[int], None]
    ) -> None:
        self._connections = connections
        self._path = path
        self._unpacking = unpacking
        self._received = received
        self._etag = ""
        self.sha256 = ""
        """As announced."""

    def attempt(self, patience: Patience) -> None:
        headers = {"Accept-Encoding": "zstd"}
        if self._unpacking.taken_bytes:
            headers |= {"Range": f"bytes={self._unpacking.taken_bytes}-", "If-Range": self._etag}
        with self._connections.exchange("GET", self._path, headers) as answer:
            if answer.status == 416:
                # All was there but the end of the connection.
                answer.body()
                return
            check(answer, 200, 206)
            if answer.status == 200:
                self._unpacking.begin_anew(is_packed=answer.header("Content-Encoding") == "zstd")
                self._etag, self.sha256 = answer.header("ETag"), answer.header(SHA256_HEADER)
            elif not answer.header("Content-Range").startswith(f"bytes {self._unpacking.taken_bytes}-"):
                raise DroppedError("another part was sent than was asked for")
            for chunk in answer.chunks():
                self._unpacking.take(chunk)
                self._received(len(chunk))
                patience.progressed(time.monotonic())


class _Unpacking:
    """Compressed chunks in, a file and its checksum out."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self.begin_anew(is_packed=True)

    def begin_anew(self, *, is_packed: bool) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self._is_sound = True
        self._unpacker = (
            zstandard.ZstdDecompressor().stream_writer(self, write_size=WRITE_BYTES, closefd=False)  # type: ignore[arg-type]
            if is_packed
            else None
        )
        self.taken_bytes = 0

    def take(self, chunk: memoryview) -> None:
        self.taken_bytes += len(chunk)
        if not self._is_sound:
            return
        if self._unpacker is None:
            self.write(chunk)
            return
        try:
            self._unpacker.write(chunk)
        except zstandard.ZstdError:
            self._is_sound = False  # as will be said at the end; till then there is nothing to be done

    def write(self, data: bytes | memoryview) -> int:
        """For the unpacker."""
        self._digest.update(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        return len(data)

    def finish(self) -> str:
        """The checksum; nothing if what came could not be unpacked."""
        return self._digest.hexdigest() if self._is_sound else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.closing(self._file):
            pass
