import numpy as np

from aiperf.endpoint.exchange import ErrorKind, Outcome
from aiperf.metrics.failures import TEXT_LIMIT, Failures


def failing(make_facts, *rows):
    facts = make_facts(len(rows), outcome=Outcome.FAILED)
    for position, (kind, status, end_ns) in enumerate(rows):
        facts["error_kind"][position], facts["http_status"][position], facts["end_ns"][position] = kind, status, end_ns
    return facts


def seen(failures):
    return [
        (failure.name, failure.http_status, failure.count, failure.first_text) for failure in failures.most_frequent()
    ]


def test_failures_are_counted_by_kind_and_status_with_the_earliest_text(make_facts):
    facts = failing(
        make_facts,
        (ErrorKind.HTTP_STATUS, 503, 30),
        (ErrorKind.RESET, 0, 20),
        (ErrorKind.HTTP_STATUS, 503, 10),
        (ErrorKind.HTTP_STATUS, 429, 10),
    )
    failures = Failures.of(facts, {0: "later", 2: "overloaded", 3: "slow down"})
    assert seen(failures) == [
        ("http_status", 503, 2, "overloaded"),
        ("reset", 0, 1, ""),
        ("http_status", 429, 1, "slow down"),
    ]


def test_a_failure_within_a_response_of_success_has_no_status(make_facts):
    facts = failing(make_facts, (ErrorKind.RESET, 200, 20), (ErrorKind.RESET, 0, 30))
    assert seen(Failures.of(facts, {})) == [("reset", 0, 2, "")]


def test_successes_and_cuts_are_no_failures(make_facts):
    facts = make_facts(3)
    facts["outcome"] = [Outcome.COMPLETED, Outcome.CANCELLED, Outcome.CENSORED]
    assert seen(Failures.of(facts, {0: "text of nothing"})) == []


def test_the_first_text_does_not_depend_on_the_order_of_merging(make_facts):
    parts = [
        (failing(make_facts, (ErrorKind.RESET, 0, end_ns)), {0: text} if text else {})
        for end_ns, text in ((30, "c"), (10, ""), (20, "b"))
    ]
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        failures = Failures()
        for position in order:
            failures.merge(Failures.of(*parts[position]))
        assert seen(failures) == [("reset", 0, 3, "b")]


def test_long_texts_are_cut(make_facts):
    failures = Failures.of(failing(make_facts, (ErrorKind.RESET, 0, 1)), {0: "x" * 10_000})
    assert len(failures.most_frequent()[0].first_text) == TEXT_LIMIT


def test_merging_leaves_the_other_as_it_was(make_facts):
    other = Failures.of(failing(make_facts, (ErrorKind.RESET, 0, 1)), {})
    mine = Failures()
    mine.merge(other)
    mine.merge(other)
    assert seen(other) == [("reset", 0, 1, "")]
    assert np.array([failure.count for failure in mine.most_frequent()]).tolist() == [2]
