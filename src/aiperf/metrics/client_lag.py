"""How late the client itself was, and how sharply it saw. One function per metric; every value is in ms.

Owns: what the load generator adds. Does not own: the judgement on it (`verdict`).
Facts → one float per record, NaN where undefined.
"""

from aiperf.metrics.intervals import FloatArray, between_ms, duration_ms
from aiperf.record.facts import FactsArray


def dispatch_lag(r: FactsArray) -> FloatArray:
    """From the intended instant to the worker taking it up. Undefined in pure closed loop."""
    return between_ms(r, "due_ns", "dispatched_ns")


def send_lag(r: FactsArray) -> FloatArray:
    """From the intended instant to sending, connection set-up included. Undefined in pure closed loop."""
    return between_ms(r, "due_ns", "sent_ns")


def rearm_delay(r: FactsArray) -> FloatArray:
    """Closed loop: from the end of a slot's request to its next dispatch. Undefined for a slot's first request."""
    return duration_ms(r, "rearm_delay_ns")


def first_token_width(r: FactsArray) -> FloatArray:
    """How long before its stamp the first content chunk may have arrived. Undefined when not streamed."""
    width = duration_ms(r, "first_content_width_ns")
    width[r["first_content_ns"] < 0] = float("nan")
    return width


def last_token_width(r: FactsArray) -> FloatArray:
    """How long before its stamp the last content may have arrived."""
    width = duration_ms(r, "last_content_width_ns")
    width[r["last_content_ns"] < 0] = float("nan")
    return width
