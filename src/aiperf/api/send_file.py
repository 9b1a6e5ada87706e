"""Sending a file of the user's to the controller, block by block.

Owns: reading, compressing, going on where the controller says. Does not own: the other end (`upload`). In a thread.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import zstandard

from aiperf.api.connection import Connections
from aiperf.api.contract import BLOCK_BYTES, OFFSET_HEADER, BeginUpload, CompleteUpload, Uploadable, upload_path
from aiperf.api.failures import ApiRefusedError, DamagedTransferError
from aiperf.api.parcel import ZSTD_LEVEL
from aiperf.api.patience import Patience
from aiperf.api.persist import check, persist

DAMAGED_LIMIT = 3


def send_file(
    connections: Connections,
    what: Uploadable,
    file_path: Path,
    *,
    patience_s: float,
    sent: Callable[[int], None] = lambda _: None,
    block_bytes: int = BLOCK_BYTES,
) -> str:
    """Sends the file; returns its SHA-256. `sent` hears of every block's size in bytes, before compression.

    Raises: OSError if it cannot be read; DamagedTransferError, ControllerLostError, ApiRefusedError.
    """
    sender = _Sender(connections, upload_path(what), file_path, patience_s, sent, block_bytes)
    for _ in range(DAMAGED_LIMIT):
        try:
            return sender.send()
        except ApiRefusedError as error:
            if error.status not in (409, 422):
                raise
            refusal = error
    raise DamagedTransferError(f"{file_path.name} could not be sent whole: {refusal}")


class _Sender:
    def __init__(
        self,
        connections: Connections,
        path: str,
        file_path: Path,
        patience_s: float,
        sent: Callable[[int], None],
        block_bytes: int,
    ) -> None:
        self._connections = connections
        self._path = path
        self._file_path = file_path
        self._patience_s = patience_s
        self._sent = sent
        self._block_bytes = block_bytes

    def send(self) -> str:
        """The whole file from its beginning."""
        size_bytes = self._file_path.stat().st_size
        self._order("PUT", BeginUpload(self._file_path.name, size_bytes))
        digest = hashlib.sha256()
        compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        offset = 0
        for block in self._blocks():
            digest.update(block)
            self._send_block(offset, len(block), compressor.compress(block))
            offset += len(block)
            self._sent(len(block))
        sha256 = digest.hexdigest()
        self._order("POST", CompleteUpload(sha256))
        return sha256

    def _blocks(self) -> Iterator[bytes]:
        with self._file_path.open("rb") as file:
            while block := file.read(self._block_bytes):
                yield block

    def _send_block(self, offset: int, length: int, packed: bytes) -> None:
        headers = {OFFSET_HEADER: str(offset), "Content-Encoding": "zstd", "Content-Type": "application/octet-stream"}

        def attempt(patience: Patience) -> None:
            with self._connections.exchange("PATCH", self._path, headers, packed) as answer:
                if answer.status == 409 and answer.header(OFFSET_HEADER) == str(offset + length):
                    answer.body()  # It had arrived; only the answer had not.
                    return
                check(answer, 200)
                answer.body()
            patience.progressed(time.monotonic())

        persist(attempt, self._connections, patience_s=self._patience_s, doing=f"sending {self._file_path.name}")

    def _order(self, method: str, order: msgspec.Struct) -> None:
        def attempt(_: Patience) -> None:
            body = msgspec.json.encode(order)
            with self._connections.exchange(method, self._path, {"Content-Type": "application/json"}, body) as answer:
                check(answer, 200, 201)
                answer.body()

        persist(attempt, self._connections, patience_s=self._patience_s, doing=f"sending {self._file_path.name}")
