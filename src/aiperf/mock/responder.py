"""Decides how a request is answered: route, token, faults, and the prebuilt answer with its delays.

Owns: routes, admission by token, which request a fault with a rate strikes, the cache of answers. Does not own:
sockets, slots, the clock. A received request in, a `Decision` out.
"""

import random
from typing import NamedTuple

from aiperf.mock import chunks
from aiperf.mock.answer import Answer, plain_answer
from aiperf.mock.behaviour import Behaviour
from aiperf.mock.faults import Fault, Faults, parse_faults
from aiperf.mock.rendering import render
from aiperf.mock.request import CHAT_PATH, COMPLETIONS_PATH, Asked, understand
from aiperf.units import NS_PER_MS

CACHED_FRAMES_MAX = 1_000_000
"""The cache of answers is emptied when it holds this many writes: some 50 MB."""
CLOSE = Fault("connection-close")


class Received(NamedTuple):
    """One request as it came over the wire."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    """Names in lower case."""
    body: bytes
    keep_alive: bool
    stamp_ns: int
    """Arrival of the read that held its last byte."""
    kernel_stamp: bool


class Decision(NamedTuple):
    """How a request is answered."""

    answer: Answer
    prompt_tokens: int = 0
    ttft_ns: int = 0
    itl_ns: int = 0
    inference: bool = False
    """It takes a slot."""


class Responder:
    """The decisions of one server process."""

    def __init__(self, behaviour: Behaviour, process: int) -> None:
        self._behaviour = behaviour
        self._random = random.Random(f"{behaviour.seed}/{process}")
        self._answers: dict[tuple[Asked, Faults], Answer] = {}
        self._frame_count = 0
        self._bearer = f"Bearer {behaviour.auth_token}".encode() if behaviour.auth_token else b""

    def decide(self, received: Received) -> Decision:
        """The answer to this request. A request that makes no sense gets one that says so."""
        path = received.target.partition(b"?")[0]
        if path == b"/health":
            return self._plain(received, 200, b"{}")
        if self._bearer and received.headers.get(b"authorization") != self._bearer:
            return self._error(received, 401, "the bearer token is missing or wrong")
        if path == b"/v1/models":
            return self._plain(received, 200, chunks.model_list(self._behaviour.model))
        if path not in (CHAT_PATH, COMPLETIONS_PATH):
            return self._error(received, 404, f"there is nothing at {path.decode(errors='replace')}")
        if received.method != b"POST":
            return self._error(received, 405, "this endpoint takes POST")
        try:
            return self._infer(received, path == CHAT_PATH)
        except ValueError as error:
            return self._error(received, 400, str(error))

    def _infer(self, received: Received, chat: bool) -> Decision:
        behaviour, headers = self._behaviour, received.headers
        prompt_tokens = int(headers.get(b"x-mock-prompt-tokens", b"-1"))
        asked, prompt_tokens = understand(chat, received.body, behaviour, prompt_tokens)
        faults = behaviour.faults
        if b"x-mock-fault" in headers:
            faults = parse_faults(headers[b"x-mock-fault"].decode("latin-1")) + faults
        if faults:
            faults = tuple(fault for fault in faults if fault.rate == 1 or self._random.random() < fault.rate)
        if not received.keep_alive:
            faults = (*faults, CLOSE)
        return Decision(
            self._rendered(asked, faults),
            prompt_tokens,
            _milliseconds(headers, b"x-mock-ttft", behaviour.ttft_ns),
            _milliseconds(headers, b"x-mock-itl", behaviour.itl_ns),
            True,
        )

    def _rendered(self, asked: Asked, faults: Faults) -> Answer:
        key = (asked, faults)
        answer = self._answers.get(key)
        if answer is None:
            answer = render(asked, faults, self._behaviour)
            self._frame_count += len(answer.frames)
            if self._frame_count > CACHED_FRAMES_MAX:
                self._answers.clear()
                self._frame_count = len(answer.frames)
            self._answers[key] = answer
        return answer

    def _plain(self, received: Received, status: int, body: bytes) -> Decision:
        return Decision(plain_answer(status, body, close=not received.keep_alive))

    def _error(self, received: Received, status: int, message: str) -> Decision:
        return self._plain(received, status, chunks.error_object(message, status))


def _milliseconds(headers: dict[bytes, bytes], name: bytes, otherwise_ns: int) -> int:
    text = headers.get(name)
    return otherwise_ns if text is None else round(float(text) * NS_PER_MS)
