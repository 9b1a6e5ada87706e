"""Following a run from afar: each thing told once, over as many connections as it takes.

Owns: the WebSocket, coming back after a cut, giving up. Does not own: what is shown to whom.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from aiperf.api.connection import ApiAddress
from aiperf.api.contract import ProblemInfo, Told, event_from_json
from aiperf.api.failures import ApiRefusedError, ControllerLostError
from aiperf.api.patience import Patience
from aiperf.api.persist import WORTH_ANOTHER_TRY
from aiperf.wire.messages import RunFinished

log = logging.getLogger(__name__)

WORD_LIMIT_S = 8.0
"""The server says something every 2 s. A connection on which nothing comes is cut, whatever TCP thinks of it."""

_silent = logging.getLogger("aiperf.api.websocket")
_silent.setLevel(logging.WARNING)  # its debug lines show headers, and so the token


async def follow(address: ApiAddress, *, patience_s: float, word_limit_s: float = WORD_LIMIT_S) -> AsyncIterator[Told]:
    """What watchers are told, to the end of the run: RunFinished comes last, and once.

    Raises: ControllerLostError if nothing was heard for `patience_s`; ApiRefusedError.
    """
    patience = Patience(patience_s, time.monotonic())
    context = address.context()
    after = 0
    while True:
        try:
            url = f"ws{address.url.removeprefix('http').rstrip('/')}/v1/progress?after={after}"
            async with connect(
                url,
                ssl=context,
                additional_headers=address.all_headers(),
                proxy=address.proxy_url or None,
                logger=_silent,
                open_timeout=word_limit_s,
                close_timeout=1,
                ping_interval=None,  # the server's heartbeats do that
                max_size=None,
            ) as socket:
                while True:
                    event = event_from_json(await asyncio.wait_for(socket.recv(), word_limit_s))
                    patience.progressed(time.monotonic())
                    if event is None:
                        continue
                    after = event.number
                    yield event.message
                    if isinstance(event.message, RunFinished):
                        return
        except InvalidStatus as error:
            if error.response.status_code not in WORTH_ANOTHER_TRY:
                raise _refusal(error) from error
            reason: Exception = error
        except ssl.SSLCertVerificationError as error:
            what = f"the server does not have the run's certificate ({error.verify_message}): it is another one"
            raise ControllerLostError(what) from error
        except (OSError, TimeoutError, ConnectionClosed, InvalidHandshake, WebSocketException) as error:
            reason = error
        except msgspec.DecodeError as error:
            raise ControllerLostError(f"the controller is of another version: {error}") from error
        await _pause(patience, patience_s, reason)


async def _pause(patience: Patience, patience_s: float, reason: Exception) -> None:
    pause_s = patience.next_pause_s(time.monotonic())
    if pause_s is None:
        text = f"nothing was heard of the controller for {patience_s:g} s ({str(reason) or type(reason).__name__})"
        raise ControllerLostError(text) from reason
    log.debug("%s: again in %.2f s", reason, pause_s)
    await asyncio.sleep(pause_s)


def _refusal(error: InvalidStatus) -> ApiRefusedError:
    status = error.response.status_code
    try:
        problem = msgspec.json.decode(error.response.body or b"", type=ProblemInfo)
    except msgspec.DecodeError:
        problem = ProblemInfo(f"status {status}")
    return ApiRefusedError(status, problem.what, problem.hint)
