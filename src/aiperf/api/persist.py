"""Exchanges that are tried again until they succeed, are refused, or patience ends.

Owns: which answers and failures are worth another attempt. Does not own: one attempt
(`connection`), pauses (`patience`).
"""

import contextlib
import logging
import ssl
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from aiperf.api.connection import Answer, Connections, DroppedError
from aiperf.api.contract import ProblemInfo
from aiperf.api.failures import ApiRefusedError, ControllerLostError
from aiperf.api.patience import Patience

log = logging.getLogger(__name__)

T = TypeVar("T")

WORTH_ANOTHER_TRY = frozenset({408, 429, 502, 503, 504})
"""What the server, or a proxy on the way, says of a state that passes."""


class NotYetError(Exception):
    """The answer says: come again."""


def persist(attempt: Callable[[Patience], T], connections: Connections, *, patience_s: float, doing: str) -> T:
    """What the attempt returns in the end. It calls `progressed` of the patience it is given when it gets on.

    Raises: ControllerLostError; what the attempt raises beyond DroppedError and NotYetError.
    """
    patience = Patience(patience_s, time.monotonic())
    while True:
        try:
            return attempt(patience)
        except ssl.SSLCertVerificationError as error:
            raise ControllerLostError(
                f"the server does not have the run's certificate ({error.verify_message}): it is another one"
            ) from error
        except (DroppedError, NotYetError) as error:
            pause_s = patience.next_pause_s(time.monotonic())
            if pause_s is None or connections.closed.is_set():
                what = f"the controller has not answered for {patience_s:g} s ({doing}: {error})"
                raise ControllerLostError(what) from error
            log.debug("%s: %s; again in %.2f s", doing, error, pause_s)
            connections.closed.wait(pause_s)


def check(answer: Answer, *expected: int) -> None:
    """Returns if the status is one of those. Raises: NotYetError; ApiRefusedError, with what the server says."""
    if answer.status in expected:
        return
    problem = ProblemInfo(f"status {answer.status}")
    with contextlib.suppress(msgspec.DecodeError):  # a proxy's page, perhaps
        problem = msgspec.json.decode(answer.body(), type=ProblemInfo)
    if answer.status in WORTH_ANOTHER_TRY:
        raise NotYetError(problem.what)
    raise ApiRefusedError(answer.status, problem.what, problem.hint)
