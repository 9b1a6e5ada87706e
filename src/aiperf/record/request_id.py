"""The ids of a request, which its worker sends and its record carries, without either telling the other.

Owns: their form. Ids are UUIDs (version 8: of our own making) that hold the run, the credit and the turn, so the same
request of the same run always has the same one.
Source: RFC 9562, section 5.8.
"""

import hashlib
from functools import lru_cache

_VARIANT = 0x8000
FIRST_TURN = _VARIANT
"""What the ids of `id_forms` say for turn 0."""
_NO_TURN = 0x3FFF
"""The variant bits leave 14 for the turn; the highest stands for the conversation as a whole."""


def x_request_id(benchmark_id: str, credit_index: int, turn_index: int) -> str:
    """The id of one request. Unique in a run up to 2^48 credits of 16,383 turns each."""
    return f"{_run_part(benchmark_id)}-{_VARIANT + turn_index:04x}-{credit_index:012x}"


def x_correlation_id(benchmark_id: str, credit_index: int) -> str:
    """The id that all turns of one conversation share."""
    return f"{_run_part(benchmark_id)}-{_VARIANT + _NO_TURN:04x}-{credit_index:012x}"


def id_forms(benchmark_id: str) -> tuple[tuple[bytes, bytes], bytes]:
    """The same as `%`-forms, for whole columns of them: of a request's id two that follow one another, for the turn
    (plus `FIRST_TURN`) and for the credit; of a conversation's id one, for the credit."""
    run = _run_part(benchmark_id).encode()
    return (b"%b-%%04x" % run, b"-%012x"), b"%b-%04x-%%012x" % (run, _VARIANT + _NO_TURN)


@lru_cache(maxsize=64)
def _run_part(benchmark_id: str) -> str:
    digest = hashlib.blake2b(benchmark_id.encode(), digest_size=8).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[12:15]}"
