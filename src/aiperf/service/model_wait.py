"""When the endpoint is asked whether its model answers, and when it is given up: a pure state machine.

Owns: what is asked of which URL in which order, when a question is repeated, what the user is told meanwhile, the end
of patience; what a list of models says about the models asked for. Does not own: asking (`model_probe`), what makes an
answer good (`aiperf.record.stream`).

Answers and instants in, actions out. Questions are asked one after another; a good answer settles its question for
good, any other repeats it.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec

from aiperf.units import NS_PER_S, ns_from_s

RETRY_INTERVAL_NS = NS_PER_S
"""From one question to its repetition; longer if the answer takes longer."""

REMINDER_INTERVAL_NS = 30 * NS_PER_S
"""How often the user is told that nothing has changed."""

MODELS_PATH = "/v1/models"

MODEL_NAMES_SHOWN_MAX = 5

Mode = Literal["inference", "models", "both"]


class Topic(StrEnum):
    """What is asked."""

    MODELS = "models"
    """The list of models."""
    INFERENCE = "inference"
    """One real request."""


_TOPICS: dict[Mode, tuple[Topic, ...]] = {
    "models": (Topic.MODELS,),
    "inference": (Topic.INFERENCE,),
    "both": (Topic.MODELS, Topic.INFERENCE),
}


class Fault(NamedTuple):
    """What was wrong with an answer. Faults of one name are the same news to the user."""

    name: str
    """`connect_refused`, `http_status 503`."""
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}" if self.text else self.name


class Ask(NamedTuple):
    """Ask this URL now; `answered` is to be told what came of it."""

    topic: Topic
    url_index: int


class Say(NamedTuple):
    """Tell the user."""

    text: str


class Ready(NamedTuple):
    """Every question has had a good answer: the load may begin."""


class GiveUp(NamedTuple):
    """The time is over: the run ends, for this reason."""

    reason: str


Action = Ask | Say | Ready | GiveUp


class ModelWait:
    """One wait. `proceed` says what to do now; after that, nothing is to be done before `wake_ns` or an answer."""

    def __init__(self, mode: Mode, urls: Sequence[str], *, timeout_s: float, started_ns: int) -> None:
        self._questions = [Ask(topic, index) for index in range(len(urls)) for topic in _TOPICS[mode]]
        """Those without a good answer; the first is the one being asked."""
        self._urls = urls
        self._timeout_s = timeout_s
        self._started_ns = started_ns
        self._deadline_ns = started_ns + ns_from_s(timeout_s)
        self._due_ns = started_ns
        """When the question is to be asked (again)."""
        self._asked_ns: int | None = None
        """When the question went out that has no answer yet."""
        self._fault: Fault | None = None
        """Of the latest answer."""
        self._told: str | None = None
        """The name of the fault that the user knows of."""
        self._reminder_ns = started_ns + REMINDER_INTERVAL_NS
        self.wake_ns = started_ns

    def answered(self, fault: Fault | None, now_ns: int) -> None:
        """The question asked last has its answer; None if it is a good one."""
        assert self._asked_ns is not None
        self._fault = fault
        if fault is None:
            self._questions.pop(0)
            self._due_ns = now_ns
        else:
            self._due_ns = max(self._asked_ns + RETRY_INTERVAL_NS, now_ns)
        self._asked_ns = None

    def proceed(self, now_ns: int) -> list[Action]:
        """What is to be done now."""
        if not self._questions:
            return self._ready(now_ns)
        if now_ns >= self._deadline_ns:
            return [GiveUp(f"the model did not answer within {self._timeout_s:g} s: {self._state(now_ns)}")]
        actions: list[Action] = self._news(now_ns)
        if self._asked_ns is None and now_ns >= self._due_ns:
            self._asked_ns = now_ns
            actions.append(self._questions[0])
        next_ns = self._due_ns if self._asked_ns is None else self._deadline_ns
        self.wake_ns = min(next_ns, self._reminder_ns, self._deadline_ns)
        return actions

    def _ready(self, now_ns: int) -> list[Action]:
        if self._told is None:
            return [Ready()]
        return [Say(f"the model answers, after {self._waited_s(now_ns)} s"), Ready()]

    def _news(self, now_ns: int) -> list[Action]:
        if self._fault is not None and self._fault.name != self._told:
            said = f"waiting for the model: {self._state(now_ns)}"
        elif now_ns >= self._reminder_ns:
            said = f"still waiting for the model after {self._waited_s(now_ns)} s: {self._state(now_ns)}"
        else:
            return []
        self._told = self._fault.name if self._fault is not None else ""
        self._reminder_ns = now_ns + REMINDER_INTERVAL_NS
        return [Say(said)]

    def _state(self, now_ns: int) -> str:
        """How the question stands, in words: the fault of its latest answer, or for how long it has had none."""
        topic, url_index = self._questions[0]
        where = f"{self._urls[url_index]}: " if len(self._urls) > 1 else ""
        what = f"GET {MODELS_PATH}: " if topic is Topic.MODELS else ""
        silent_ns = 0 if self._asked_ns is None else now_ns - self._asked_ns
        if self._fault is None or silent_ns > RETRY_INTERVAL_NS:
            return f"{where}{what}no answer for {round(silent_ns / NS_PER_S)} s"
        return f"{where}{what}{self._fault}"

    def _waited_s(self, now_ns: int) -> int:
        return round((now_ns - self._started_ns) / NS_PER_S)


class _Model(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_Model]


_decode_model_list = msgspec.json.Decoder(_ModelList).decode


def unlisted_models_notice(body: bytes, asked: Sequence[str]) -> str:
    """What to tell the user if a list of models does not name all the models asked for.

    "" if it does, or if the body is no list of models. Source: OpenAI API reference, "List models".
    """
    try:
        listed = [model.id for model in _decode_model_list(body).data]
    except (ValueError, RecursionError):
        return ""
    missing = [model for model in asked if model not in listed]
    if not missing:
        return ""
    more = len(listed) - MODEL_NAMES_SHOWN_MAX
    named = ", ".join(listed[:MODEL_NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
    return f"the server's list of models does not name {', '.join(missing)}; it names {named or 'none'}"
