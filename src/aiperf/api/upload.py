"""The user's input file on its way to the controller, in blocks.

Owns: what has arrived, writing it, comparing the checksum. Does not own: HTTP. Blocks in, one whole file out.

A block counts when it is there as a whole; a cut one leaves no trace. So the sender goes on at the offset told to it,
and offsets are those of its own file: it keeps nothing, and resumes without compressing again.
"""

import hashlib
import re
from pathlib import Path

import zstandard

from aiperf.api.contract import BLOCK_BYTES, UploadInfo

_PLAIN_NAME = re.compile(r"(?!\.)[^/\\\x00-\x1f]{1,200}")


class UploadError(Exception):
    """What the sender did cannot be accepted; the text says why."""


class WrongOffsetError(UploadError):
    """The block is not the one that comes next: it was received already, or one is missing."""


class WrongContentError(UploadError):
    """The content is not what was announced. It was dropped: begin anew."""


class Upload:
    """One file. Methods block on the disk and are called one at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._size_bytes = 0
        self._offset_bytes = 0
        self._digest = hashlib.sha256()
        self._complete_sha256 = ""

    def info(self) -> UploadInfo:
        return UploadInfo(self._name, self._size_bytes, self._offset_bytes, bool(self._complete_sha256))

    @property
    def path(self) -> Path:
        """Where the file is when it is complete."""
        return self._folder / self._name

    def begin(self, name: str, size_bytes: int) -> UploadInfo:
        """Drops what has arrived so far and waits for the first block.

        Raises: UploadError if the name is none, or a file is complete already; OSError.
        """
        if self._complete_sha256:
            raise UploadError(f"{self._name} is complete already; a run has one input file")
        if not _PLAIN_NAME.fullmatch(name):
            raise UploadError(f"`{name}` is no plain file name")
        if size_bytes < 0:
            raise UploadError("a file has no negative size")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._name, self._size_bytes = name, size_bytes
        self._drop()
        return self.info()

    def append(self, offset_bytes: int, packed: bytes) -> UploadInfo:
        """Adds a block, compressed by zstd.

        Raises: UploadError if no upload was begun; WrongOffsetError; WrongContentError if it cannot be unpacked or
        exceeds the limit; OSError.
        """
        if not self._name or self._complete_sha256:
            raise UploadError("no upload has been begun")
        if offset_bytes != self._offset_bytes:
            raise WrongOffsetError(f"the next byte expected is {self._offset_bytes}, not {offset_bytes}")
        block = _unpacked(packed)
        if self._offset_bytes + len(block) > self._size_bytes:
            raise WrongContentError(f"{self._name} was announced with {self._size_bytes} bytes, and more came")
        with self._part_path().open("r+b") as file:
            # What a block left that could not be written whole is overwritten.
            file.seek(self._offset_bytes)
            file.write(block)
        self._digest.update(block)
        self._offset_bytes += len(block)
        return self.info()

    def complete(self, sha256: str) -> UploadInfo:
        """Gives the file its name. Again with the same checksum: the same answer.

        Raises: UploadError if bytes are missing; WrongContentError if the checksum is another; OSError.
        """
        if self._complete_sha256:
            if sha256 != self._complete_sha256:
                raise UploadError(f"{self._name} is complete already, with another checksum")
            return self.info()
        if not self._name:
            raise UploadError("no upload has been begun")
        if self._offset_bytes != self._size_bytes:
            raise UploadError(f"{self._offset_bytes} of {self._size_bytes} bytes have arrived")
        if self._digest.hexdigest() != sha256:
            self._drop()
            raise WrongContentError(f"the checksum of {self._name} is not that of the bytes that arrived")
        self._part_path().replace(self.path)
        self._complete_sha256 = sha256
        return self.info()

    def _drop(self) -> None:
        self._offset_bytes = 0
        self._digest = hashlib.sha256()
        self._part_path().write_bytes(b"")

    def _part_path(self) -> Path:
        return self._folder / f".{self._name}.part"


def _unpacked(packed: bytes) -> bytes:
    """The block. Raises: WrongContentError."""
    try:
        if zstandard.frame_content_size(packed) > BLOCK_BYTES:
            raise WrongContentError(f"a block has at most {BLOCK_BYTES} bytes")
        # Frames that do not tell their size get no more room than a block has.
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=BLOCK_BYTES)
    except zstandard.ZstdError as error:
        raise WrongContentError(f"a block cannot be unpacked: {error}") from error
