from typing import Any

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.deploy.kubernetes.endpoint_secrets import with_endpoint_secrets
from aiperf.errors import PlanError
from aiperf.plan.plan import Plan


def plan(*words: str) -> Plan:
    return plan_from_argv(["-m", "m", "-u", "http://llm:8000", "--kubernetes", *words], {})[0]


def told(chosen: Plan) -> tuple[str | None, Any]:
    key = chosen.endpoint.api_key
    return key and key.get_secret_value(), dict(chosen.endpoint.headers)


def test_key_and_headers_come_from_the_environment() -> None:
    environ = {"AIPERF_API_KEY": "sesame\n", "AIPERF_HEADERS": '{"X-Key": "42"}\n'}
    chosen = with_endpoint_secrets(plan("--endpoint-secret", "llm", "-H", "X-Team: a"), environ)
    assert told(chosen) == ("sesame", {"X-Key": "42", "X-Team": "a"})


def test_what_the_plan_says_stands() -> None:
    environ = {"AIPERF_API_KEY": "other", "AIPERF_HEADERS": '{"X-Key": "other"}'}
    words = ("--endpoint-secret", "llm", "--api-key", "mine", "-H", "X-Key: mine")
    assert told(with_endpoint_secrets(plan(*words), environ)) == ("mine", {"X-Key": "mine"})


def test_a_secret_may_hold_one_of_both_or_none() -> None:
    chosen = plan("--endpoint-secret", "llm")
    assert told(with_endpoint_secrets(chosen, {})) == (None, {})
    assert told(with_endpoint_secrets(chosen, {"AIPERF_API_KEY": "sesame"})) == ("sesame", {})


def test_without_a_secret_of_the_users_the_environment_does_not_count() -> None:
    assert told(with_endpoint_secrets(plan(), {"AIPERF_API_KEY": "sesame"})) == (None, {})


@pytest.mark.parametrize("text", ["X-Key: sesame", '["sesame"]', '{"X-Key": 1, "b": "sesame"}'])
def test_headers_of_another_form_are_refused_without_telling_them(text: str) -> None:
    with pytest.raises(PlanError, match="Secret llm: `headers` is not a JSON object of texts") as caught:
        with_endpoint_secrets(plan("--endpoint-secret", "llm"), {"AIPERF_HEADERS": text})
    assert "sesame" not in str(caught.value)
