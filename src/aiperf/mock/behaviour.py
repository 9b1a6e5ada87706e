"""What a mock server does with every request, as frozen data.

Owns: the settings and their meaning. Does not own: flags (`command`), what single requests ask for in their headers.
"""

from dataclasses import dataclass

from aiperf.mock.faults import Faults


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The settings of one server process."""

    # What is answered
    model: str = "mock-model"
    default_tokens: int = 50
    """Length of an answer when the request sets no limit."""
    tokens_per_chunk: int = 1
    """Tokens of one event; the gap between events stays `itl_ns`, as with speculative decoding."""
    events_per_write: int = 1
    """Events that leave in one write, when the last of them is due, as behind a buffering proxy."""
    chunk_bytes: int = 0
    """Events are padded to about this size."""
    role_chunk: bool = True
    """Chat streams begin with a chunk that carries only the role."""
    role_chunk_early: bool = False
    """It leaves with the response head as soon as the request is in, not with the first token."""
    reasoning_tokens: int = 0
    """How many of the first tokens are reasoning."""
    tool_calls: bool = False
    report_usage: bool = True
    tokens_max: int = 0
    """Answers are no longer than this, whatever a request asks for; 0: no limit."""
    gives_account: bool = False
    """`usage`, which is then always reported, says when each write left, counted from the request's arrival."""

    # When
    ttft_ns: int = 0
    """From the arrival of the request's last byte to the first token; the mean, if it is drawn."""
    itl_ns: int = 0
    """From one chunk to the next; the mean, if it is drawn."""
    grain_ns: int = 0
    """A chunk waits so long for others and leaves with them: fewer wake-ups with many slow streams."""
    lognormal: bool = False
    ttft_sigma: float = 0.5
    itl_sigma: float = 0.5
    seed: int = 0

    # Misbehaviour
    faults: Faults = ()
    stall_at_ns: int = -1
    """From the first request on; -1: never."""
    stall_for_ns: int = 0

    # Admission
    auth_token: str = ""
    slots: int = 0
    """How many requests are served at once, the others waiting in line; 0: no limit."""
    idle_timeout_ns: int = 0
    """Idle kept-alive connections are closed after this time; 0: never."""
