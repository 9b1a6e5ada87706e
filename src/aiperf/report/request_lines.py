"""The lines of `profile_export.jsonl` and `profile_export_raw.jsonl`: one JSON object for each request.

Owns: their keys and order. Does not own: which requests are exported, the order of lines in the file (`shards`),
metrics. Columns in, bytes out.

A line is put together from templates and from column text that is encoded in one go, since a request's line must cost
less than its record.
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
from aiperf.record.request_id import x_correlation_id, x_request_id
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


_METADATA_COLUMNS = (
    "credit_index", "turn_index", "phase", "worker_index", "url_index", "entry_index", "outcome",
    "due_ns", "dispatched_ns", "sent_ns", "first_byte_ns", "end_ns",
)  # fmt: skip

_METADATA = (
    b'{"metadata":{"session_num":%d,"x_request_id":"%b","x_correlation_id":"%b","conversation_id":%b,"turn_index":%d,'
    b'"credit_issued_ns":%d,"request_start_ns":%d,"request_ack_ns":%b,"request_end_ns":%d,"worker_id":%b,'
    b'"record_processor_id":%b,"benchmark_phase":"%b","was_cancelled":%b,"outcome":"%b","due_ns":%b,"url":%b}'
)


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
    return [
        b'%b,"metrics":%b,"error":%b}\n' % parts
        for parts in zip(
            _metadata(facts, context), _metrics(len(facts), metrics, units), _errors(facts, error_texts), strict=True
        )
    ]


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


def _metadata(facts: FactsArray, context: LineContext) -> list[bytes]:
    workers = [_encode(name) for name in context.workers]
    urls = [_encode(url) for url in context.urls]
    processor = _encode(context.record_processor_id)
    benchmark_id, conversation_id = context.benchmark_id, context.conversation_id
    lines = []
    for credit, turn, phase, worker, url, entry, outcome, due, dispatched, sent, first_byte, end in zip(
        *(facts[name].tolist() for name in _METADATA_COLUMNS), strict=True
    ):
        lines.append(
            _METADATA
            % (
                credit,
                x_request_id(benchmark_id, credit, turn).encode(),
                x_correlation_id(benchmark_id, credit).encode(),
                _encode(conversation_id(entry)),
                turn,
                dispatched,
                sent if sent >= 0 else dispatched,
                _instant(first_byte),
                end,
                workers[worker],
                processor,
                _PHASES[phase],
                b"true" if outcome in (Outcome.CANCELLED, Outcome.CENSORED) else b"false",
                _OUTCOMES[outcome],
                _instant(due),
                urls[url],
            )
        )
    return lines


_PHASES = [kind.name.lower().encode() for kind in PhaseKind]
_OUTCOMES = [outcome.name.lower().encode() for outcome in Outcome]
_ERROR_KINDS = [kind.name.lower().encode() for kind in ErrorKind]


def _instant(at_ns: int) -> bytes:
    return b"%d" % at_ns if at_ns >= 0 else b"null"


def _metrics(record_count: int, metrics: Mapping[str, npt.NDArray[Any]], units: Mapping[str, str]) -> list[bytes]:
    """The `metrics` object of each record."""
    if not metrics:
        return [b"{}"] * record_count
    tags = list(metrics)
    values = np.column_stack([np.asarray(metrics[tag], dtype=np.float64) for tag in tags])
    defined = np.isfinite(values)
    # Records with the same metrics share a template. There are few such groups: streams, bodies, failures.
    groups: dict[bytes, list[int]] = {}
    for row, pattern in enumerate(np.packbits(defined, axis=1)):
        groups.setdefault(pattern.tobytes(), []).append(row)
    objects = [b""] * record_count
    for rows in groups.values():
        columns = np.flatnonzero(defined[rows[0]])
        template, width = _template([tags[column] for column in columns], units), len(columns)
        texts = _number_texts(values[rows][:, columns])
        for position, row in enumerate(rows):
            objects[row] = template % tuple(texts[position * width : (position + 1) * width])
    return objects


def _template(tags: Sequence[str], units: Mapping[str, str]) -> bytes:
    fields = (b'%b:{"value":%%b,"unit":%b}' % (_quoted(tag), _quoted(units[tag])) for tag in tags)
    return b"{" + b",".join(fields) + b"}"


def _quoted(text: str) -> bytes:
    """The text as JSON, safe inside a template of ours: a unit may be `%`."""
    return _encode(text).replace(b"%", b"%%")


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
