"""The lines of `profile_export.jsonl` and `profile_export_raw.jsonl`: one JSON object for each request.

Owns: their keys and order. Does not own: which requests are exported, the order of lines in the file (`shards`),
metrics. Columns in, bytes out.

A line is put together from a template that all lines of a batch share and from column text that is encoded in one go,
since a request's line must cost less than its record.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from aiperf.endpoint.exchange import ErrorKind, Outcome
from aiperf.plan.dumps import masked_headers
from aiperf.record.assembly import RawResponse
from aiperf.record.facts import FactsArray
from aiperf.record.request_id import FIRST_TURN, id_forms
from aiperf.schedule.phases import PhaseKind

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class LineContext:
    """The names behind the numbers of a record."""

    benchmark_id: str
    record_processor_id: str
    workers: Sequence[str]
    """By worker index."""
    urls: Sequence[str]
    """By URL index."""
    conversation_id: Callable[[int], str]
    """Of a dataset entry."""


def request_lines(
    facts: FactsArray,
    metrics: Mapping[str, npt.NDArray[Any]],
    units: Mapping[str, str],
    error_texts: Sequence[str],
    context: LineContext,
) -> list[bytes]:
    """The line of each record, with its newline. A metric that is undefined (NaN) for a record is left out of its line.

    Units: metrics come in their export units, named by `units`.
    """
    names, table = list(metrics), _table(metrics, len(facts))
    errors = _errors(facts, error_texts)
    lines = [b""] * len(facts)
    for rows in _groups(np.isfinite(table)):
        line = LineTemplate(len(rows))
        _put_metadata(line, facts[rows], context)
        line.text(b',"metrics":{')
        _put_metrics(line, table[rows], names, units)
        line.text(b'},"error":')
        line.texts([errors[row] for row in rows])
        line.text(b"}\n")
        for row, text in zip(rows, line.lines(), strict=True):
            lines[row] = text
    return lines


def raw_lines(
    facts: FactsArray,
    responses: Sequence[RawResponse],
    request_bodies: Sequence[bytes],
    request_headers: Mapping[str, str],
    error_texts: Sequence[str],
    context: LineContext,
) -> list[bytes]:
    """The raw line of each record, with its newline: what was sent and what came back, secrets masked.

    `request_bodies` are JSON and stand in the line as they are.
    """
    headers = _encode(masked_headers(request_headers))
    statuses = facts["http_status"].tolist()
    return [
        b'%b,"payload":%b,"request_headers":%b,"status":%b,"response_headers":%b,"responses":%b,"error":%b}\n'
        % (
            metadata,
            body or b"null",
            headers,
            b"%d" % status if status else b"null",
            _encode(masked_headers(_response_headers(response.head))),
            _encode(_chunks(response)),
            error,
        )
        for metadata, body, status, response, error in zip(
            _metadata(facts, context), request_bodies, statuses, responses, _errors(facts, error_texts), strict=True
        )
    ]


class LineTemplate:
    """The text that lines share, and the columns they differ in. A column of one value is shared text, too."""

    def __init__(self, line_count: int) -> None:
        self._line_count = line_count
        self._shared: list[bytes] = []
        self._columns: list[Sequence[int | bytes]] = []

    def text(self, text: bytes) -> None:
        self._shared.append(text.replace(b"%", b"%%"))

    def texts(self, texts: Sequence[bytes]) -> None:
        """One for each line."""
        if texts and texts.count(texts[0]) == len(texts):
            self.text(texts[0])
        else:
            self._shared.append(b"%b")
            self._columns.append(texts)

    def numbers(self, form: bytes, values: npt.NDArray[np.int64]) -> None:
        """One for each line, each in the form `%d` or one like it."""
        if len(values) and (values == values[0]).all():
            self.text(form % int(values[0]))
        else:
            self._shared.append(form)
            self._columns.append(values.tolist())

    def instants(self, values: npt.NDArray[np.int64]) -> None:
        """As `numbers`; negative ones stand for none."""
        is_known = values >= 0
        if is_known.all():
            self.numbers(b"%d", values)
        else:
            self.texts([b"%d" % at_ns if at_ns >= 0 else b"null" for at_ns in values.tolist()])

    def names(self, names: Sequence[bytes], indices: npt.NDArray[np.int64]) -> None:
        """One of a few names for each line."""
        if len(indices) and (indices == indices[0]).all():
            self.text(names[int(indices[0])])
        else:
            self.texts([names[index] for index in indices.tolist()])

    def lines(self) -> list[bytes]:
        template = b"".join(self._shared)
        if not self._columns:
            return [template % ()] * self._line_count
        return [template % values for values in zip(*self._columns, strict=True)]


def _metadata(facts: FactsArray, context: LineContext) -> list[bytes]:
    line = LineTemplate(len(facts))
    _put_metadata(line, facts, context)
    return line.lines()


def _put_metadata(line: LineTemplate, facts: FactsArray, context: LineContext) -> None:
    """The line's beginning: `{"metadata":{…}`."""
    credit, turn, dispatched, sent = (
        facts[name] for name in ("credit_index", "turn_index", "dispatched_ns", "sent_ns")
    )
    request_id, correlation_id = id_forms(context.benchmark_id)
    conversations = {entry: _encode(context.conversation_id(entry)) for entry in set(facts["entry_index"].tolist())}
    line.text(b'{"metadata":{"session_num":')
    line.numbers(b"%d", credit)
    line.text(b',"x_request_id":"')
    for form, values in zip(request_id, (turn + FIRST_TURN, credit), strict=True):
        line.numbers(form, values)
    line.text(b'","x_correlation_id":"')
    line.numbers(correlation_id, credit)
    line.text(b'","conversation_id":')
    line.texts([conversations[entry] for entry in facts["entry_index"].tolist()])
    line.text(b',"turn_index":')
    line.numbers(b"%d", turn)
    line.text(b',"credit_issued_ns":')
    line.numbers(b"%d", dispatched)
    line.text(b',"request_start_ns":')
    line.numbers(b"%d", np.where(sent >= 0, sent, dispatched))
    line.text(b',"request_ack_ns":')
    line.instants(facts["first_byte_ns"])
    line.text(b',"request_end_ns":')
    line.numbers(b"%d", facts["end_ns"])
    line.text(b',"worker_id":')
    line.names([_encode(name) for name in context.workers], facts["worker_index"])
    line.text(b',"record_processor_id":' + _encode(context.record_processor_id) + b',"benchmark_phase":')
    line.names(_PHASES, facts["phase"])
    line.text(b',"was_cancelled":')
    line.names(_WERE_CANCELLED, facts["outcome"])
    line.text(b',"outcome":')
    line.names(_OUTCOMES, facts["outcome"])
    line.text(b',"due_ns":')
    line.instants(facts["due_ns"])
    line.text(b',"url":')
    line.names([_encode(url) for url in context.urls], facts["url_index"])
    line.text(b"}")


_PHASES = [_encode(phase.name.lower()) for phase in PhaseKind]
_OUTCOMES = [_encode(outcome.name.lower()) for outcome in Outcome]
_WERE_CANCELLED = [_encode(outcome in (Outcome.CANCELLED, Outcome.CENSORED)) for outcome in Outcome]
_ERROR_KINDS = [kind.name.lower().encode() for kind in ErrorKind]


def _table(metrics: Mapping[str, npt.NDArray[Any]], record_count: int) -> npt.NDArray[np.float64]:
    """Shape: (records, metrics)."""
    if not metrics:
        return np.empty((record_count, 0))
    return np.column_stack([np.asarray(values, dtype=np.float64) for values in metrics.values()])


def _groups(defined: npt.NDArray[np.bool_]) -> list[list[int]]:
    """The rows that have the same metrics. There are few such groups: streams, bodies, failures."""
    if not len(defined) or (defined == defined[0]).all():
        return [list(range(len(defined)))] if len(defined) else []
    groups: dict[bytes, list[int]] = {}
    for row, pattern in enumerate(np.packbits(defined, axis=1)):
        groups.setdefault(pattern.tobytes(), []).append(row)
    return list(groups.values())


def _put_metrics(
    line: LineTemplate, table: npt.NDArray[np.float64], names: Sequence[str], units: Mapping[str, str]
) -> None:
    """The fields of the `metrics` object. All rows of the table have the same of them."""
    defined = np.flatnonzero(np.isfinite(table[0]))
    varying = defined[(table[1:, defined] != table[0, defined]).any(axis=0)]
    texts, width = _number_texts(table[:, varying]), len(varying)
    columns = {column: texts[place::width] for place, column in enumerate(varying.tolist())}
    separator = b""
    for column, same in zip(defined.tolist(), _number_texts(table[:1, defined]), strict=True):
        tag = names[column]
        line.text(separator + _encode(tag) + b':{"value":')
        line.texts(columns.get(column) or [same])
        line.text(b',"unit":' + _encode(units[tag]) + b"}")
        separator = b","


def _number_texts(values: npt.NDArray[np.float64]) -> list[bytes]:
    """The shortest text of each number that reads back as the same, whole ones without `.0`. Order: row by row."""
    if not values.size:
        return []
    text: bytes = _encode(values.ravel().tolist())
    return text[1:-1].replace(b".0,", b",").removesuffix(b".0").split(b",")


def _errors(facts: FactsArray, error_texts: Sequence[str]) -> list[bytes]:
    """The `error` of each record."""
    lines = [b"null"] * len(facts)
    for row in np.flatnonzero(facts["error_kind"] != ErrorKind.NO_ERROR).tolist():
        kind, status = int(facts["error_kind"][row]), int(facts["http_status"][row])
        code = b"%d" % status if kind == ErrorKind.HTTP_STATUS else b"null"
        lines[row] = b'{"kind":"%b","code":%b,"message":%b}' % (_ERROR_KINDS[kind], code, _encode(error_texts[row]))
    return lines


def _response_headers(head: bytes) -> dict[str, str]:
    """Headers by lower-case name; several of one name are joined by commas. The status line is left out."""
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if colon:
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _chunks(response: RawResponse) -> list[dict[str, Any]]:
    return [
        {"received_ns": stamp_ns, "width_ns": width_ns, "text": data.decode(errors="replace")}
        for stamp_ns, width_ns, data in response.chunks
    ]
