"""The wait for the model, driven by hand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.service.model_wait import (
    REMINDER_INTERVAL_NS,
    RETRY_INTERVAL_NS,
    Ask,
    Fault,
    GiveUp,
    ModelWait,
    Ready,
    Say,
    Topic,
    unlisted_models_notice,
)
from aiperf.units import NS_PER_MS, NS_PER_S

URL = "http://a:1"
REFUSED = Fault("connect_refused", "a:1 refused the connection")
BUSY = Fault("http_status 503", "loading")
INFERENCE, MODELS = Ask(Topic.INFERENCE, 0), Ask(Topic.MODELS, 0)


def made(mode="inference", urls=(URL,), timeout_s=60.0) -> ModelWait:
    return ModelWait(mode, urls, timeout_s=timeout_s, started_ns=0)


def test_the_first_question_is_asked_at_once_and_a_good_answer_ends_the_wait_in_silence():
    wait = made()
    assert wait.proceed(0) == [INFERENCE]
    wait.answered(None, 5)
    assert wait.proceed(5) == [Ready()]


def test_both_asks_for_the_models_first():
    wait = made("both")
    assert wait.proceed(0) == [MODELS]
    wait.answered(None, 5)
    assert wait.proceed(5) == [INFERENCE]
    wait.answered(None, 9)
    assert wait.proceed(9) == [Ready()]


def test_every_url_is_asked_and_none_twice_after_a_good_answer():
    wait = made("models", urls=("http://a", "http://b"))
    assert wait.proceed(0) == [Ask(Topic.MODELS, 0)]
    wait.answered(None, 1)
    assert wait.proceed(1) == [Ask(Topic.MODELS, 1)]
    wait.answered(BUSY, 2)
    said, *_ = wait.proceed(2)
    assert said == Say("waiting for the model: http://b: GET /v1/models: http_status 503: loading")
    assert wait.proceed(1 + RETRY_INTERVAL_NS) == [Ask(Topic.MODELS, 1)]


def test_a_question_is_repeated_a_second_after_it_was_asked():
    wait = made()
    wait.proceed(0)
    wait.answered(REFUSED, 3)
    assert wait.proceed(3) == [Say("waiting for the model: connect_refused: a:1 refused the connection")]
    assert wait.wake_ns == RETRY_INTERVAL_NS
    assert wait.proceed(RETRY_INTERVAL_NS - 1) == []
    assert wait.proceed(RETRY_INTERVAL_NS) == [INFERENCE]


def test_a_slow_bad_answer_is_followed_by_the_next_question_at_once():
    wait = made()
    wait.proceed(0)
    wait.answered(BUSY, 5 * NS_PER_S)
    assert INFERENCE in wait.proceed(5 * NS_PER_S)


def test_nothing_is_asked_while_an_answer_is_outstanding():
    wait = made()
    wait.proceed(0)
    assert wait.proceed(20 * NS_PER_S) == []


def test_only_a_new_kind_of_fault_is_news():
    wait = made()
    said = []
    faults = [REFUSED, REFUSED, BUSY, BUSY._replace(text="loading 2"), REFUSED]
    for second, fault in enumerate(faults):
        wait.proceed(second * NS_PER_S)
        wait.answered(fault, second * NS_PER_S + NS_PER_MS)
        said += [action.text for action in wait.proceed(second * NS_PER_S + NS_PER_MS)]
    assert said == [f"waiting for the model: {fault}" for fault in (REFUSED, BUSY, REFUSED)]


def test_the_user_is_reminded_that_the_wait_goes_on():
    wait = made()
    wait.proceed(0)
    assert wait.wake_ns == REMINDER_INTERVAL_NS
    reminder = "still waiting for the model after 30 s: no answer for 30 s"
    assert wait.proceed(REMINDER_INTERVAL_NS) == [Say(reminder)]
    assert wait.proceed(REMINDER_INTERVAL_NS + 1) == []


def test_the_end_of_a_wait_that_was_told_is_told():
    wait = made()
    wait.proceed(0)
    wait.answered(REFUSED, 1)
    wait.proceed(1)
    wait.proceed(7 * NS_PER_S)
    wait.answered(None, 7 * NS_PER_S)
    assert wait.proceed(7 * NS_PER_S) == [Say("the model answers, after 7 s"), Ready()]


def test_when_time_is_over_the_last_fault_is_the_reason():
    wait = made(timeout_s=2.5)
    wait.proceed(0)
    wait.answered(BUSY, 1)
    wait.proceed(1)
    wait.proceed(2 * NS_PER_S)
    wait.answered(REFUSED, 2 * NS_PER_S)
    wait.proceed(2 * NS_PER_S)
    assert wait.wake_ns == 2_500 * NS_PER_MS
    assert wait.proceed(wait.wake_ns) == [GiveUp(f"the model did not answer within 2.5 s: {REFUSED}")]


def test_silence_is_a_reason_of_its_own():
    wait = made(timeout_s=20)
    wait.proceed(0)
    wait.answered(REFUSED, 1)
    wait.proceed(1)
    wait.proceed(RETRY_INTERVAL_NS)
    assert wait.proceed(20 * NS_PER_S) == [GiveUp("the model did not answer within 20 s: no answer for 19 s")]


def test_a_good_answer_that_comes_with_the_deadline_counts():
    wait = made(timeout_s=1)
    wait.proceed(0)
    wait.answered(None, NS_PER_S)
    assert wait.proceed(NS_PER_S) == [Ready()]


def test_time_that_is_over_between_two_questions_is_over():
    wait = made("both", timeout_s=1)
    wait.proceed(0)
    wait.answered(None, NS_PER_S)
    assert wait.proceed(NS_PER_S) == [GiveUp("the model did not answer within 1 s: no answer for 0 s")]


@given(
    st.sampled_from(["models", "inference", "both"]),
    st.integers(1, 3),
    st.floats(0.1, 100),
    st.lists(st.tuples(st.integers(0, 40 * NS_PER_S), st.sampled_from([None, None, REFUSED, BUSY])), max_size=60),
)
def test_whatever_is_answered_the_wait_ends_in_time_and_keeps_its_pace(mode, url_count, timeout_s, answers):
    wait = made(mode, tuple(f"http://{n}" for n in range(url_count)), timeout_s)
    deadline_ns = round(timeout_s * NS_PER_S)
    now_ns, answer_ns = 0, None
    asked: dict[Ask, int] = {}
    good: list[Ask] = []
    pending = iter(answers)
    while True:
        actions = wait.proceed(now_ns)
        for action in actions:
            if isinstance(action, Ask):
                assert answer_ns is None
                assert now_ns - asked.get(action, -NS_PER_S) >= RETRY_INTERVAL_NS
                asked[action] = now_ns
                delay_ns, fault = next(pending, (1 << 60, None))
                answer_ns, question = now_ns + delay_ns, action
        if actions and isinstance(actions[-1], Ready | GiveUp):
            break
        assert wait.wake_ns > now_ns
        if answer_ns is not None and answer_ns <= wait.wake_ns:
            now_ns = answer_ns
            wait.answered(fault, now_ns)
            if fault is None:
                good.append(question)
            answer_ns = None
        else:
            now_ns = wait.wake_ns
    assert now_ns <= deadline_ns
    if isinstance(actions[-1], GiveUp):
        assert now_ns == deadline_ns
    assert isinstance(actions[-1], Ready) == is_whole(good, mode, url_count)


def is_whole(good: list[Ask], mode: str, url_count: int) -> bool:
    """Every question has been answered well, each once, in order."""
    topics = {"models": [Topic.MODELS], "inference": [Topic.INFERENCE], "both": [Topic.MODELS, Topic.INFERENCE]}[mode]
    return good == [Ask(topic, index) for index in range(url_count) for topic in topics]


def listing(*names: str) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]}).encode()


def test_a_list_that_names_the_models_is_no_news():
    assert unlisted_models_notice(listing("b", "a", "c"), ["a", "b"]) == ""


@pytest.mark.parametrize("body", [b"", b"OK", b"[]", b"{}", b'{"data": null}', b'{"data": [1]}', b"[" * 100_000])
def test_what_is_no_list_of_models_says_nothing(body):
    assert unlisted_models_notice(body, ["a"]) == ""


def test_models_that_a_list_lacks_are_named_with_those_it_has():
    said = "the server's list of models does not name "
    assert unlisted_models_notice(listing("x", "b"), ["a", "b", "c"]) == said + "a, c; it names x, b"
    assert unlisted_models_notice(listing(), ["a"]) == said + "a; it names none"
    assert unlisted_models_notice(listing(*"uvwxyz"), ["a"]) == said + "a; it names u, v, w, x, y and 1 more"
