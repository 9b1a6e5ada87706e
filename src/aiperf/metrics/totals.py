"""Counts and sums over records: whole numbers only, so that any order of merging gives the same.

Owns: the totals that run-level metrics are made of. Does not own: distributions, the credit ledger (`summary`).
Facts of measured records → `Totals`.
"""

import msgspec
import numpy as np

from aiperf.endpoint.exchange import Outcome
from aiperf.metrics.intervals import BoolArray
from aiperf.record.facts import NONE, FactsArray, TokenSource
from aiperf.units import NS_PER_MS

NEVER_NS = 1 << 62
"""An instant after all others: the start value of a minimum."""
WIDE_NS = NS_PER_MS
"""A chunk known only to within more than this is counted as seen unsharply: 1 ms is what users of ITL care for."""


class Totals(msgspec.Struct, array_like=True):
    """Whole-number totals of a set of records of the measured phase. The neutral element is `Totals()`."""

    completed_count: int = 0
    failed_count: int = 0
    cancelled_count: int = 0
    censored_count: int = 0
    sent_count: int = 0
    due_count: int = 0
    """Records that have an intended instant."""
    rearmed_count: int = 0
    """Dispatches of a slot that had a request before."""
    retried_count: int = 0
    streamed_count: int = 0
    """Completed records with a first content chunk."""
    isl_tokens: int = 0
    """Of completed records, as are all sums of tokens."""
    osl_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    server_counted_count: int = 0
    tokenizer_counted_count: int = 0
    content_chunk_count: int = 0
    shared_chunk_count: int = 0
    wide_first_count: int = 0
    """Completed records whose first content chunk is known only to within more than `WIDE_NS`."""
    wide_last_count: int = 0
    good_count: int = 0
    """Completed records that met every objective."""
    busy_ns: int = 0
    """Time requests were in flight, added up."""
    rearm_delay_ns: int = 0
    """Time slots stood empty between two requests, added up."""
    first_sent_ns: int = NEVER_NS
    last_sent_ns: int = -NEVER_NS
    first_due_ns: int = NEVER_NS
    last_due_ns: int = -NEVER_NS
    last_end_ns: int = -NEVER_NS

    def merge(self, other: "Totals") -> None:
        """Adds the other set's totals to these."""
        for name in SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in EARLIEST:
            setattr(self, name, min(getattr(self, name), getattr(other, name)))
        for name in LATEST:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))

    @property
    def duration_ns(self) -> int:
        """Last end - first sent; 0 when nothing was sent."""
        return max(0, self.last_end_ns - self.first_sent_ns) if self.sent_count else 0


EARLIEST = ("first_sent_ns", "first_due_ns")
LATEST = ("last_sent_ns", "last_due_ns", "last_end_ns")
SUMMED = tuple(name for name in Totals.__struct_fields__ if name not in EARLIEST + LATEST)


def totals_of(r: FactsArray, good: BoolArray) -> Totals:
    """The totals of these records. `good`: which of them met every objective."""
    outcomes = np.bincount(r["outcome"], minlength=len(Outcome))
    sent, due = r["sent_ns"], r["due_ns"]
    was_sent, was_due = sent != NONE, due != NONE
    ends = r["end_ns"]
    in_flight = was_sent & (ends != NONE)
    rearm = r["rearm_delay_ns"]
    was_rearmed = rearm != NONE
    done = r[r["outcome"] == Outcome.COMPLETED]
    known_osl = done["output_tokens"] != NONE
    reasoning = np.maximum(done["reasoning_tokens"], 0)
    output = np.maximum(done["output_tokens"], 0)
    sources = np.bincount(done["token_source"], minlength=len(TokenSource))
    return Totals(
        completed_count=int(outcomes[Outcome.COMPLETED]),
        failed_count=int(outcomes[Outcome.FAILED]),
        cancelled_count=int(outcomes[Outcome.CANCELLED]),
        censored_count=int(outcomes[Outcome.CENSORED]),
        sent_count=int(was_sent.sum()),
        due_count=int(was_due.sum()),
        rearmed_count=int(was_rearmed.sum()),
        retried_count=int(r["retried"].sum()),
        streamed_count=int((done["first_content_ns"] != NONE).sum()),
        isl_tokens=int(np.maximum(done["isl_tokens"], 0).sum()),
        osl_tokens=int(output.sum() + reasoning[known_osl].sum()),
        output_tokens=int(output.sum()),
        reasoning_tokens=int(reasoning.sum()),
        server_counted_count=int(sources[TokenSource.SERVER]),
        tokenizer_counted_count=int(sources[TokenSource.TOKENIZER]),
        content_chunk_count=int(done["content_chunk_count"].sum()),
        shared_chunk_count=int(done["shared_chunk_count"].sum()),
        wide_first_count=int((done["first_content_width_ns"] > WIDE_NS).sum()),
        wide_last_count=int((done["last_content_width_ns"] > WIDE_NS).sum()),
        good_count=int(good.sum()),
        busy_ns=int((ends - sent)[in_flight].sum()),
        rearm_delay_ns=int(rearm[was_rearmed].sum()),
        first_sent_ns=int(sent.min(where=was_sent, initial=NEVER_NS)),
        last_sent_ns=int(sent.max(where=was_sent, initial=-NEVER_NS)),
        first_due_ns=int(due.min(where=was_due, initial=NEVER_NS)),
        last_due_ns=int(due.max(where=was_due, initial=-NEVER_NS)),
        last_end_ns=int(ends.max(where=in_flight, initial=-NEVER_NS)),
    )
