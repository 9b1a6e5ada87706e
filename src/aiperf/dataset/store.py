"""The store: the dataset compiled into one file that workers and record processors map into memory.

Owns: the file's layout, writing it atomically, reading it, its checksum. Does not own: what is in a body (`compile`),
which entry a credit uses (`sampling`). Ready request bodies in, the same bytes out.

A dataset is a list of conversations, each a list of turns; an entry is a conversation, and so far each has one turn.
The file, in the byte order of the machine that wrote it (int64 throughout):

    magic, format version, conversation count C, turn count T, body bytes, session id bytes, SHA-256
    bodies, one after another, padded to 8 bytes
    columns: body ends (T), ISL tokens (T), requested OSL tokens (T), turn ends (C), session id ends (C)
    session ids, one after another

The checksum covers all of it.
"""

import hashlib
import mmap
import os
import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from aiperf.errors import InfrastructureError

NONE_TOKENS = -1
"""Stands in a column for a count that is not known."""

_MAGIC = 0x41495045_52464453
"""Read in the wrong byte order, this is another number, and the file is refused."""
_FORMAT_VERSION = 1
_NUMBERS = struct.Struct("=6q")
_HEADER_BYTES = _NUMBERS.size + hashlib.sha256().digest_size
_COPY_BYTES = 1 << 20


class Turn(NamedTuple):
    """One request, ready to be sent."""

    body: bytes
    isl_tokens: int = NONE_TOKENS
    requested_osl: int = NONE_TOKENS
    """Output tokens asked for."""


class Conversation(NamedTuple):
    """The turns of one session, in order."""

    session_id: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What was written."""

    path: Path
    entry_count: int
    turn_count: int
    size_bytes: int
    sha256: str


class StoreError(InfrastructureError):
    """The file is no store of this version of aiperf, or it arrived damaged: compile or fetch the dataset again."""


def compile_store(path: Path, conversations: Iterable[Conversation]) -> StoreInfo:
    """Writes the store; the file appears under its name only when it is whole. Memory: the columns, not the bodies.

    Raises: ValueError if there is no conversation, or one without turns; InfrastructureError if the disk will not have
    it; whatever `conversations` raises.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            info = _write(file, path, conversations)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InfrastructureError(f"The dataset cannot be written to {path}: {error}.") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return info


def _write(file: BinaryIO, path: Path, conversations: Iterable[Conversation]) -> StoreInfo:
    digest = hashlib.sha256()
    body_ends, isl_tokens, requested_osl, turn_ends, session_id_ends = (array("q") for _ in range(5))
    session_ids = bytearray()
    body_bytes = 0
    file.write(bytes(_HEADER_BYTES))
    for conversation in conversations:
        if not conversation.turns:
            raise ValueError(f"session {conversation.session_id} has no turn")
        for turn in conversation.turns:
            file.write(turn.body)
            digest.update(turn.body)
            body_bytes += len(turn.body)
            body_ends.append(body_bytes)
            isl_tokens.append(turn.isl_tokens)
            requested_osl.append(turn.requested_osl)
        session_ids += conversation.session_id.encode()
        session_id_ends.append(len(session_ids))
        turn_ends.append(len(body_ends))
    if not turn_ends:
        raise ValueError("a dataset has at least one entry")

    columns = (body_ends, isl_tokens, requested_osl, turn_ends, session_id_ends)
    tail = b"".join((bytes(-body_bytes % 8), *(column.tobytes() for column in columns), session_ids))
    numbers = _NUMBERS.pack(_MAGIC, _FORMAT_VERSION, len(turn_ends), len(body_ends), body_bytes, len(session_ids))
    digest.update(tail)
    digest.update(numbers)
    file.write(tail)
    size_bytes = file.tell()
    file.seek(0)
    file.write(numbers + digest.digest())
    return StoreInfo(path, len(turn_ends), len(body_ends), size_bytes, digest.hexdigest())


class Store:
    """A compiled dataset, mapped into memory; pages are shared by all processes of a machine that open it.

    Reading one entry costs well under a microsecond. Indexes are not checked beyond what the columns do: they come
    from a `Sampler` over `len(store)`.
    """

    __slots__ = (
        "_body_ends",
        "_columns",
        "_isl_tokens",
        "_map",
        "_requested_osl",
        "_session_id_ends",
        "_session_ids_start",
        "_turn_ends",
        "path",
        "sha256",
    )

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        """Use `Store.open`."""
        self.path = path
        self._map = mapped
        _, _, conversation_count, turn_count, body_bytes, _ = _NUMBERS.unpack_from(mapped)
        columns_start = _HEADER_BYTES + body_bytes + -body_bytes % 8
        columns_end = columns_start + 8 * (3 * turn_count + 2 * conversation_count)
        self.sha256 = mapped[_NUMBERS.size : _HEADER_BYTES].hex()
        self._session_ids_start = columns_end
        self._columns = memoryview(mapped)[columns_start:columns_end].cast("q")
        turns, two_turns, three_turns = turn_count, 2 * turn_count, 3 * turn_count
        self._body_ends = self._columns[:turns]
        self._isl_tokens = self._columns[turns:two_turns]
        self._requested_osl = self._columns[two_turns:three_turns]
        self._turn_ends = self._columns[three_turns : three_turns + conversation_count]
        self._session_id_ends = self._columns[three_turns + conversation_count :]

    @classmethod
    def open(cls, path: Path, *, verify: bool = False) -> "Store":
        """The store at `path`. `verify` reads it all and compares checksums: for a file that came over a network.

        Raises: StoreError if it is no store, or damaged; OSError if it cannot be read.
        """
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < _HEADER_BYTES:
                raise StoreError(f"{path} is too short to be a dataset.")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, version, conversation_count, turn_count, *region_bytes = _NUMBERS.unpack_from(mapped)
        if (magic, version) != (_MAGIC, _FORMAT_VERSION):
            raise StoreError(f"{path} is no dataset of this version of aiperf.")
        columns_bytes = 8 * (3 * turn_count + 2 * conversation_count)
        expected_bytes = _HEADER_BYTES + sum(region_bytes) + -region_bytes[0] % 8 + columns_bytes
        if len(mapped) != expected_bytes:
            raise StoreError(f"{path} is {len(mapped)} bytes long, not {expected_bytes} as it says.")
        if verify and _checksum(mapped) != mapped[_NUMBERS.size : _HEADER_BYTES]:
            raise StoreError(f"{path} is damaged: its checksum does not match its content.")
        return cls(path, mapped)

    def __len__(self) -> int:
        """How many entries (conversations) there are."""
        return len(self._turn_ends)

    def turn_count(self, entry_index: int) -> int:
        """How many turns the entry has."""
        return self._turn_ends[entry_index] - self._first_turn(entry_index)

    def body(self, entry_index: int, turn_index: int = 0) -> bytes:
        """The JSON body as it is sent."""
        ends = self._body_ends
        turn = (self._turn_ends[entry_index - 1] if entry_index else 0) + turn_index
        return self._map[_HEADER_BYTES + (ends[turn - 1] if turn else 0) : _HEADER_BYTES + ends[turn]]

    def isl_tokens(self, entry_index: int, turn_index: int = 0) -> int:
        """Tokens of the prompt as this side's tokenizer counts them; NONE_TOKENS if it did not."""
        return self._isl_tokens[self._first_turn(entry_index) + turn_index]

    def requested_osl(self, entry_index: int, turn_index: int = 0) -> int:
        """Output tokens asked for; NONE_TOKENS if the server decides."""
        return self._requested_osl[self._first_turn(entry_index) + turn_index]

    def session_id(self, entry_index: int) -> str:
        """The name of the conversation in the artifacts."""
        start = self._session_id_ends[entry_index - 1] if entry_index else 0
        base = self._session_ids_start
        return self._map[base + start : base + self._session_id_ends[entry_index]].decode()

    def payloads(self) -> Iterator[tuple[str, tuple[bytes, ...]]]:
        """Every conversation's session id and bodies. Order: by entry."""
        for entry_index in range(len(self)):
            turns = range(self.turn_count(entry_index))
            yield self.session_id(entry_index), tuple(self.body(entry_index, turn) for turn in turns)

    def close(self) -> None:
        """Unmaps the file; the store is not to be used any more. Idempotent."""
        columns = (self._body_ends, self._isl_tokens, self._requested_osl, self._turn_ends, self._session_id_ends)
        for view in (*columns, self._columns):
            view.release()
        self._map.close()

    def _first_turn(self, entry_index: int) -> int:
        return self._turn_ends[entry_index - 1] if entry_index else 0


def _checksum(mapped: mmap.mmap) -> bytes:
    digest = hashlib.sha256()
    for start in range(_HEADER_BYTES, len(mapped), _COPY_BYTES):
        digest.update(mapped[start : start + _COPY_BYTES])
    digest.update(mapped[: _NUMBERS.size])
    return digest.digest()
