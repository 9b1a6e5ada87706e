import numpy as np
import pytest

from aiperf.endpoint.exchange import Outcome
from aiperf.errors import PlanError
from aiperf.metrics.catalog import values_of
from aiperf.metrics.goodput import Objective, good_requests, objectives_of


def test_objectives_are_read_in_order():
    assert objectives_of("time_to_first_token:200 inter_token_latency:20.5") == (
        Objective("time_to_first_token", 200),
        Objective("inter_token_latency", 20.5),
    )


@pytest.mark.parametrize("text", [None, "", "  "])
def test_no_text_has_no_objectives(text):
    assert objectives_of(text) == ()


def test_what_is_no_objective_is_refused():
    with pytest.raises(PlanError, match="ttft"):
        objectives_of("ttft:200")


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("time_to_first_token:100", True),
        ("time_to_first_token:99.9", False),
        ("time_to_first_token:100 request_latency:599", False),
        ("output_token_throughput_per_user:100", True),
        ("output_token_throughput_per_user:101", False),
    ],
)
def test_a_request_is_good_when_it_meets_every_objective(make_facts, text, good):
    facts = make_facts()
    assert good_requests(facts, values_of(facts), objectives_of(text)).tolist() == [good]


def test_an_undefined_metric_meets_no_objective(make_facts):
    facts = make_facts(first_content_ns=-1)
    assert not good_requests(facts, values_of(facts), objectives_of("time_to_first_token:1000")).any()


def test_a_failure_is_never_good(make_facts):
    facts = make_facts(2)
    facts["outcome"] = [Outcome.FAILED, Outcome.CENSORED]
    assert not good_requests(facts, values_of(facts), (Objective("dispatch_lag", 1000),)).any()


def test_without_objectives_nothing_is_good(make_facts):
    facts = make_facts()
    assert good_requests(facts, values_of(facts), ()).dtype == np.bool_
    assert not good_requests(facts, values_of(facts), ()).any()
