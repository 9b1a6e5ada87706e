import numpy as np

from aiperf.endpoint.exchange import Outcome
from aiperf.metrics.totals import Totals, totals_of
from aiperf.record.facts import TokenSource

MS = 1_000_000


def good_none(facts):
    return np.zeros(len(facts), np.bool_)


def test_totals_of_one_success(make_facts):
    facts = make_facts(rearm_delay_ns=3 * MS, retried=1, shared_chunk_count=4, first_content_width_ns=2 * MS)
    totals = totals_of(facts, np.ones(1, np.bool_))
    sent = int(facts["sent_ns"][0])
    assert totals == Totals(
        completed_count=1, sent_count=1, due_count=1, rearmed_count=1, retried_count=1, streamed_count=1,
        isl_tokens=200, osl_tokens=51, output_tokens=41, reasoning_tokens=10, server_counted_count=1,
        content_chunk_count=26, shared_chunk_count=4, wide_first_count=1, good_count=1, busy_ns=610 * MS,
        rearm_delay_ns=3 * MS, first_sent_ns=sent, last_sent_ns=sent, first_due_ns=sent - 10 * MS,
        last_due_ns=sent - 10 * MS, last_end_ns=sent + 610 * MS,
    )  # fmt: skip
    assert totals.duration_ns == 610 * MS


def test_a_failure_counts_as_sent_and_busy_but_brings_no_tokens(make_facts):
    totals = totals_of(make_facts(outcome=Outcome.FAILED), np.zeros(1, np.bool_))
    assert (totals.failed_count, totals.sent_count, totals.busy_ns) == (1, 1, 610 * MS)
    assert (totals.isl_tokens, totals.osl_tokens, totals.streamed_count) == (0, 0, 0)


def test_a_request_never_sent_leaves_no_times(make_facts):
    totals = totals_of(make_facts(outcome=Outcome.FAILED, sent_ns=-1), np.zeros(1, np.bool_))
    assert totals.sent_count == 0
    assert totals.duration_ns == 0


def test_unknown_tokens_add_nothing(make_facts):
    facts = make_facts(isl_tokens=-1, output_tokens=-1, reasoning_tokens=-1, token_source=TokenSource.NOBODY)
    totals = totals_of(facts, good_none(facts))
    assert (totals.isl_tokens, totals.osl_tokens, totals.output_tokens) == (0, 0, 0)


def test_no_records_are_the_neutral_element(make_facts):
    assert totals_of(make_facts(0), np.zeros(0, np.bool_)) == Totals()


def test_merged_parts_are_the_whole(make_facts):
    facts = make_facts(6)
    facts["outcome"] = [0, 1, 0, 2, 3, 0]
    facts["sent_ns"] += np.array([5, 1, -3, 0, 9, 2])
    whole = totals_of(facts, good_none(facts))
    for cut in range(7):
        parts = totals_of(facts[cut:], good_none(facts[cut:]))
        parts.merge(totals_of(facts[:cut], good_none(facts[:cut])))
        assert parts == whole
