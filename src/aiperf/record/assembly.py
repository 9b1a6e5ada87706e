"""Records out of slices: the heads, reads and ends that a worker framed become finished rows of facts.

Owns: the responses that are still open, by worker; what becomes of a record when slices or a worker are lost; the final
word on whether a request failed. Does not own: what bytes mean (`stream`), token counting (`token_counts`), metrics.

Bytes are read as they come and forgotten: an open stream keeps its times, the gaps between its chunks and, where the
tokenizer may have to count it, its text. Slices in, `Assembled` out.
"""

from array import array
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aiperf.endpoint.dialect import Dialect
from aiperf.endpoint.exchange import ErrorKind, Outcome
from aiperf.record.answer import Answer, Chunk
from aiperf.record.facts import EXCHANGE_FIELDS, FactsArray, facts_array
from aiperf.record.known_reads import KnownReads
from aiperf.record.slices import READ_LENGTH, Slice
from aiperf.record.stream import ResponseBody, response_body
from aiperf.record.token_counts import (
    CountTokens,
    TextToCount,
    TokenPolicy,
    fill_counts,
    text_to_count,
    token_columns,
)

_OUTCOME = EXCHANGE_FIELDS.index("outcome")
_ERROR_KIND = EXCHANGE_FIELDS.index("error_kind")
_HTTP_STATUS = EXCHANGE_FIELDS.index("http_status")
_ENTRY_INDEX = EXCHANGE_FIELDS.index("entry_index")


class RawResponse(NamedTuple):
    """What a record's response was, byte for byte."""

    head: bytes
    """Status line and headers; empty where the worker did not keep them."""
    chunks: list[Chunk]


class Assembled(NamedTuple):
    """Finished records, in the order in which their ends came."""

    facts: FactsArray
    gaps_ns: npt.NDArray[np.int64]
    """The gaps between content-bearing reads, record after record."""
    gap_offsets: npt.NDArray[np.int64]
    """Record i has the gaps `gaps_ns[gap_offsets[i]:gap_offsets[i + 1]]`. Shape: (records + 1,)."""
    error_texts: list[str]
    """One line for each record, "" where nothing went wrong."""
    raw: list[RawResponse] | None
    """For each record; None unless chunks are kept."""
    sent_after_ns: list[tuple[int, ...]]
    """For each record what the built-in server says of itself (`endpoint.dialect.Usage`); empty from any other."""


class _Worker:
    """What one worker has under way."""

    __slots__ = ("bodies", "next_sequence")

    def __init__(self) -> None:
        self.next_sequence = 0
        self.bodies: dict[int, ResponseBody | None] = {}
        """Open responses by handle; None if some of its bytes were in a lost slice."""


class RecordAssembler:
    """Turns slices into records. `add` what arrives, `take` what is finished."""

    def __init__(
        self,
        *,
        dialect: Dialect,
        streaming: bool,
        entry_tokens: Callable[[int], tuple[int, int]],
        count_tokens: CountTokens | None,
        token_policy: TokenPolicy = TokenPolicy.SERVER_PREFERRED,
        keep_chunks: bool = False,
    ) -> None:
        """`entry_tokens` gives, for a dataset entry, the prompt tokens as the tokenizer counts them and the output
        tokens it asks for; -1 for none.

        Raises: ValueError if the policy needs a tokenizer and there is none.
        """
        if token_policy == TokenPolicy.TOKENIZER_ONLY and count_tokens is None:
            raise ValueError("counting tokens on this side needs a tokenizer")
        self._dialect = dialect
        self._known = KnownReads(dialect.decode_event)
        self._streaming = streaming
        self._entry_tokens = entry_tokens
        self._count_tokens = count_tokens
        self._token_policy = token_policy
        self._keeps_text = count_tokens is not None and token_policy != TokenPolicy.SERVER_ONLY
        self._keeps_chunks = keep_chunks
        self._workers: dict[int, _Worker] = {}
        self.lost_slice_count = 0
        """Slices that never came, by the gaps in their sequence numbers."""
        self.lost_record_count = 0
        """Requests that ended but make no record, since bytes of their response were in a lost slice."""
        self._clear()

    def _clear(self) -> None:
        self._flat: list[int] = []
        self._gaps_ns: array[int] = array("q")
        self._gap_offsets = [0]
        self._error_texts: list[str] = []
        self._raw: list[RawResponse] = []
        self._sent_after_ns: list[tuple[int, ...]] = []
        self._waiting: list[TextToCount] = []

    @property
    def open_stream_count(self) -> int:
        """Responses that have begun and not ended."""
        return sum(len(worker.bodies) for worker in self._workers.values())

    def add(self, part: Slice) -> None:
        """Takes a worker's next slice.

        Raises: ValueError if the slice is corrupt or came before; nothing of it is taken then.
        """
        header = part.header
        _check_lengths(part.reads[:, READ_LENGTH], len(part.blob))
        worker = self._workers.setdefault(header.worker_index, _Worker())
        self._advance(worker, header.sequence)
        bodies = worker.bodies
        for handle, http_status, body_kind in part.heads.tolist():
            bodies[handle] = response_body(
                http_status, body_kind, self._new_answer(), self._dialect, self._known, streaming=self._streaming
            )
        blob = bytes(part.blob)
        start = 0
        for handle, stamp_ns, after_ns, length in part.reads.tolist():
            stop = start + length
            body = bodies.get(handle)
            if body is not None:
                body.read(stamp_ns, after_ns, blob[start:stop])
            else:
                bodies[handle] = None
            start = stop
        texts, heads = dict(header.texts), dict(header.response_heads)
        for handle, *row in part.ends.tolist():
            if handle not in bodies and not row[_HTTP_STATUS]:
                body = None  # There was no response, hence no head.
            elif (body := bodies.pop(handle, None)) is None:
                self.lost_record_count += 1
                continue
            self._finish(row, body, texts.get(handle, ""), heads.get(handle, b""))

    def _new_answer(self) -> Answer:
        return Answer(keeps_text=self._keeps_text, keeps_chunks=self._keeps_chunks)

    def _advance(self, worker: _Worker, sequence: int) -> None:
        missing = sequence - worker.next_sequence
        if missing < 0:
            raise ValueError(f"slice {sequence} came again or late: {worker.next_sequence} was next")
        if missing:
            self.lost_slice_count += missing
            # Any of these may have had bytes in there. A record with a hole would blame the server for our loss.
            worker.bodies = dict.fromkeys(worker.bodies)
        worker.next_sequence = sequence + 1

    def _finish(self, row: list[int], body: ResponseBody | None, error_text: str, response_head: bytes) -> None:
        answer = body.answer if body is not None else self._new_answer()
        if body is not None and (row[_OUTCOME] == Outcome.COMPLETED or row[_ERROR_KIND] == ErrorKind.HTTP_STATUS):
            body.conclude()
            if answer.fault_kind:
                row[_OUTCOME] = Outcome.FAILED
                row[_ERROR_KIND] = answer.fault_kind
                error_text = answer.fault_text
        columns = token_columns(answer, *self._entry_tokens(row[_ENTRY_INDEX]), self._token_policy)
        waiting = text_to_count(len(self._error_texts), answer, columns)
        if waiting is not None:
            self._waiting.append(waiting)
        self._flat += row
        self._flat += answer.content_columns()
        self._flat += columns
        self._gaps_ns.extend(answer.gaps_ns)
        self._gap_offsets.append(len(self._gaps_ns))
        self._error_texts.append(error_text)
        self._sent_after_ns.append(answer.usage.sent_after_ns if answer.usage is not None else ())
        if self._keeps_chunks:
            self._raw.append(RawResponse(response_head, answer.chunks or []))

    def take(self) -> Assembled | None:
        """The records finished since the last call, their tokens counted in one batch; None if there are none."""
        if not self._error_texts:
            return None
        facts = facts_array(self._flat)
        if self._waiting and self._count_tokens is not None:
            fill_counts(facts, self._waiting, self._count_tokens)
        assembled = Assembled(
            facts,
            np.array(self._gaps_ns, dtype=np.int64),
            np.array(self._gap_offsets, dtype=np.int64),
            self._error_texts,
            self._raw if self._keeps_chunks else None,
            self._sent_after_ns,
        )
        self._clear()
        return assembled

    def drop_worker(self, worker_index: int) -> int:
        """Forgets the open responses of a lost worker; returns how many there were."""
        worker = self._workers.get(worker_index)
        if worker is None:
            return 0
        count = len(worker.bodies)
        worker.bodies = {}
        return count


def _check_lengths(lengths: npt.NDArray[np.int64], blob_bytes: int) -> None:
    if lengths.sum() != blob_bytes or (lengths < 0).any():
        raise ValueError("the reads of the slice do not add up to its bytes")
