import json

import pytest

from aiperf.mock.behaviour import Behaviour
from aiperf.mock.request import understand

DEFAULTS = Behaviour()


def read(body, *, chat=True, prompt_tokens=-1, behaviour=DEFAULTS):
    return understand(chat, json.dumps(body).encode(), behaviour, prompt_tokens)


def test_a_bare_request_gets_the_defaults():
    asked, prompt_tokens = read({"messages": [{"role": "user", "content": "a b"}]})
    assert asked == (True, False, "mock-model", 50, False, True)
    assert prompt_tokens == 2


def test_a_stream_has_usage_only_when_asked_for():
    assert not read({"stream": True})[0].with_usage
    assert read({"stream": True, "stream_options": {"include_usage": True}})[0].with_usage
    assert not read({}, behaviour=Behaviour(report_usage=False))[0].with_usage


def test_a_server_with_an_account_always_reports_usage_and_may_be_brief():
    behaviour = Behaviour(gives_account=True, tokens_max=16)
    assert read({"stream": True}, behaviour=behaviour)[0].with_usage
    assert read({"max_tokens": 1_000}, behaviour=behaviour)[0].tokens == 16
    assert read({"max_tokens": 4}, behaviour=behaviour)[0].tokens == 4
    assert read({}, behaviour=behaviour)[0].tokens == 16


@pytest.mark.parametrize(("prompt", "count"), [("", 0), ("a", 1), ("a b c", 3), ([1, 2, 3, 4], 4), (["a b", "c"], 3)])
def test_prompts_of_all_kinds_are_counted(prompt, count):
    assert read({"prompt": prompt}, chat=False)[1] == count


def test_the_number_from_the_header_wins():
    assert read({"prompt": "a b c"}, chat=False, prompt_tokens=99)[1] == 99


@pytest.mark.parametrize(
    "body", ["text", {"max_tokens": -1}, {"max_tokens": 10**9}, {"max_tokens": "x"}, {"stream": 3}]
)
def test_what_is_no_request_is_refused(body):
    with pytest.raises(ValueError, match=r"."):
        read(body)
