"""The facts of one finished request, as a row of integers. The record ledger is a stack of these rows.

Owns: the columns, their order, units and meaning. Does not own: how a request ended (`aiperf.endpoint.exchange` names
outcomes and error kinds), how a row travels (`slices`), how it is found out (`assembly`), what is computed from it
(`aiperf.metrics`).

Every `_ns` column that is an instant is on the run clock (`aiperf.clock`); `NONE` stands for "there is none".
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

NONE = -1


class TokenSource(IntEnum):
    """Who counted the output tokens of a record."""

    NOBODY = 0
    SERVER = 1
    TOKENIZER = 2


class Facts(NamedTuple):
    """One request. The field order is the wire order. Every value is an int64.

    The first block is what the worker knows of the HTTP exchange (`EXCHANGE_FIELDS`); the record processor may still
    turn its outcome from completed to failed. The second block is what the record processor finds in the bytes.
    """

    credit_index: int
    """Which conversation of the schedule."""
    turn_index: int
    phase: int
    """Its number (`aiperf.schedule.phases.kind_of`)."""
    worker_index: int
    url_index: int
    entry_index: int
    """Row of the dataset that was sent."""
    outcome: int
    error_kind: int
    http_status: int
    """0 before a status line was seen."""
    due_ns: int
    """Intended instant; NONE in pure closed loop."""
    dispatched_ns: int
    """The worker took it up."""
    blocked_ns: int
    """Duration from dispatch to the start of connecting, or to sending on an open connection."""
    dns_ns: int
    """Duration; 0 on a reused connection or a numeric address."""
    connect_ns: int
    """Duration of TCP connect; 0 on a reused connection."""
    tls_ns: int
    """Duration of the TLS handshake; 0 on a reused connection or plaintext."""
    sent_ns: int
    """Just before the first byte of the request was handed to an open connection; NONE if it never was."""
    send_done_ns: int
    """The last byte of the request was accepted by the socket."""
    first_byte_ns: int
    """Arrival of the read that held the first response byte."""
    end_ns: int
    """Arrival of the last body byte, or the instant of failure or cut."""
    rearm_delay_ns: int
    """Closed loop: from the end of the slot's request before to this dispatch; NONE otherwise."""
    connection_reused: int
    retried: int
    """1 if a reused connection died without a response byte and the request was sent again on a fresh one."""
    sent_bytes: int
    received_bytes: int

    first_content_ns: int
    """Arrival of the read that completed the first content chunk; NONE without streaming."""
    first_output_ns: int
    """As `first_content_ns`, of the first chunk that is not only reasoning."""
    second_content_ns: int
    """As `first_content_ns`, of the second chunk; NONE if it shares the first one's read and has no time of its own."""
    last_content_ns: int
    """Arrival of the last content chunk; without streaming that of the last body byte."""
    first_content_width_ns: int
    """The first content chunk arrived within this duration before its stamp (0: exactly then)."""
    last_content_width_ns: int
    content_chunk_count: int
    """0 without streaming: no chunk was seen apart."""
    shared_chunk_count: int
    """Content chunks that share a read with an earlier one and therefore have no gap of their own."""
    isl_tokens: int
    """Prompt tokens: the server's count or the tokenizer's, NONE if unknown."""
    client_isl_tokens: int
    """Prompt tokens as the tokenizer counts the text that was sent; NONE if unknown."""
    requested_osl_tokens: int
    """`max_tokens` asked for; NONE if not asked."""
    output_tokens: int
    """Without reasoning; NONE if unknown."""
    reasoning_tokens: int
    first_chunk_tokens: int
    """Tokens of the first content chunk; NONE if unknown."""
    client_output_tokens: int
    """Output plus reasoning tokens as the tokenizer counts them; NONE if not counted."""
    usage_prompt_tokens: int
    usage_completion_tokens: int
    usage_total_tokens: int
    usage_cached_tokens: int
    usage_reasoning_tokens: int
    token_source: int


EXCHANGE_FIELDS = Facts._fields[: Facts._fields.index("first_content_ns")]
FACTS_DTYPE = np.dtype([(name, np.int64) for name in Facts._fields])

FactsArray = npt.NDArray[Any]
"""Shape: (records,), structured with FACTS_DTYPE. `rows["sent_ns"]` is one column."""


def facts_array(flat: list[int]) -> FactsArray:
    """The table of records whose fields stand one after another in `flat`. Shape: (len(flat) / fields,)."""
    return np.array(flat, dtype=np.int64).view(FACTS_DTYPE)
