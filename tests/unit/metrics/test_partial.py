import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiperf.endpoint.exchange import ErrorKind, Outcome
from aiperf.metrics import distribution, partial
from aiperf.metrics.catalog import CENSORED_ROW, ROW
from aiperf.metrics.goodput import objectives_of
from aiperf.metrics.partial import Partial
from aiperf.metrics.sketch import RELATIVE_ERROR
from aiperf.metrics.summary import summarise
from aiperf.report.summary_json import document_of
from aiperf.schedule.ledger import Ledger
from aiperf.schedule.phases import PhaseKind

MS = 1_000_000
OBJECTIVES = objectives_of("time_to_first_token:110")


def random_records(make_facts, seed: int, count: int):
    """Records of every outcome and phase, the gaps between their chunks, and texts of failures."""
    random = np.random.default_rng(seed)
    facts = make_facts(count)
    shift = random.integers(0, 5_000 * MS, count)
    for name in facts.dtype.names:
        if name.endswith("_ns") and facts[name][:1].max(initial=0) > 10**15:
            facts[name] += shift
    for name in ("first_content_ns", "last_content_ns", "end_ns"):
        facts[name] += random.integers(0, 80 * MS, count)
    facts["credit_index"] = np.arange(count)
    facts["phase"] = random.choice([PhaseKind.PROFILING] * 9 + [PhaseKind.WARMUP], count)
    facts["outcome"] = random.choice(
        [Outcome.COMPLETED] * 6 + [Outcome.FAILED, Outcome.CANCELLED, Outcome.CENSORED], count
    )
    facts["error_kind"] = np.where(facts["outcome"] == Outcome.FAILED, random.integers(5, 8, count), 0)
    facts["worker_index"] = random.integers(0, 3, count)
    facts["first_content_ns"][random.random(count) < 0.1] = -1
    facts["output_tokens"] = random.integers(-1, 80, count)
    gap_counts = random.integers(0, 4, count)
    gaps_ns = random.integers(1, 50 * MS, int(gap_counts.sum()))
    texts = {int(row): f"reason {row}" for row in np.flatnonzero(facts["outcome"] == Outcome.FAILED)}
    return facts, gaps_ns, gap_counts, texts


def pieces(facts, gaps_ns, gap_counts, texts, cuts):
    """Partials of the runs of records between the cuts."""
    edges = [0, *sorted(cuts), len(facts)]
    offsets = np.concatenate([[0], np.cumsum(gap_counts)])
    return [
        Partial.of(
            facts[low:high],
            gaps_ns[offsets[low] : offsets[high]],
            gap_counts[low:high],
            {row - low: text for row, text in texts.items() if low <= row < high},
            OBJECTIVES,
        )
        for low, high in pairwise(edges)
    ]


def same(left, right):
    """Equal, save for the last digits of numbers."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right or math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-7)
    return left == right


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 40),
    exact_limit=st.sampled_from([10, 25, 1_000]),
    sweep_limit=st.sampled_from([20, 1_000]),
    data=st.data(),
)
def test_merging_in_any_order_and_grouping_gives_the_same_summary(
    make_facts, make_run, seed, count, exact_limit, sweep_limit, data
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distribution, "EXACT_LIMIT", exact_limit)
        patch.setattr(distribution, "FOLD_COUNT", 6)
        patch.setattr(partial, "SWEEP_LIMIT", sweep_limit)
        run = make_run(Ledger(issued=count), plan={"results": {"goodput": "time_to_first_token:110"}})
        table = random_records(make_facts, seed, count)
        in_order = Partial.empty()
        for piece in pieces(*table, range(1, count)):
            in_order.merge(piece)
        cuts = data.draw(st.lists(st.integers(0, count), max_size=6), label="cuts")
        groups = data.draw(st.permutations(pieces(*table, cuts)), label="order")
        while len(groups) > 1:
            position = data.draw(st.integers(0, len(groups) - 2), label="which")
            if data.draw(st.booleans(), label="by wire"):
                groups[position] = Partial.from_frames(groups[position].to_frames())
            if data.draw(st.booleans(), label="looked at"):
                groups[position].live_statistics()
            groups[position].merge(groups.pop(position + 1))
        assert same(document_of(summarise(groups[0], run)), document_of(summarise(in_order, run)))


@pytest.mark.parametrize("exact_limit", [5, 1_000])
def test_frames_bring_everything_back(make_facts, monkeypatch, exact_limit):
    monkeypatch.setattr(distribution, "EXACT_LIMIT", exact_limit)
    (before,) = pieces(*random_records(make_facts, 7, 30), [])
    after = Partial.from_frames([memoryview(frame) for frame in before.to_frames()])
    assert after.totals == before.totals
    assert after.failures.by_key == before.failures.by_key
    assert after.workers.by_index == before.workers.by_index
    assert after.samples.is_exact == before.samples.is_exact
    assert after.live_statistics() == before.live_statistics()
    assert after.gaps.counts.tolist() == before.gaps.counts.tolist()
    assert after.end_ns_by_arrival().tolist() == before.end_ns_by_arrival().tolist()
    for mine, other in zip(after.sweep_columns(), before.sweep_columns(), strict=True):
        assert mine.tolist() == other.tolist()


def test_frames_of_nothing_are_nothing():
    assert Partial.from_frames(Partial.empty().to_frames()).record_count == 0


def test_bytes_that_are_no_partial_are_refused():
    frames = Partial.empty().to_frames()
    with pytest.raises(ValueError, match="Expected"):
        Partial.from_frames([b"\x00", *frames[1:]])


def test_warm_up_is_in_nothing_but_the_order_of_arrival(make_facts, make_partial):
    facts = make_facts(3)
    facts["phase"] = [PhaseKind.WARMUP, PhaseKind.PROFILING, PhaseKind.WARMUP]
    facts["outcome"] = [Outcome.FAILED, Outcome.FAILED, Outcome.FAILED]
    facts["error_kind"] = [ErrorKind.RESET, ErrorKind.TIMEOUT, ErrorKind.RESET]
    result = make_partial(facts, texts={0: "warm", 1: "hot"})
    assert (result.record_count, result.other_count) == (1, 2)
    assert [(failure.name, failure.first_text) for failure in result.failures.most_frequent()] == [("timeout", "hot")]
    assert len(result.end_ns_by_arrival()) == 3
    assert len(result.sweep_columns().sent_ns) == 1


def test_gaps_are_only_of_measured_successes(make_facts):
    facts = make_facts(4)
    facts["phase"] = [PhaseKind.PROFILING, PhaseKind.WARMUP, PhaseKind.PROFILING, PhaseKind.PROFILING]
    facts["outcome"] = [Outcome.COMPLETED, Outcome.COMPLETED, Outcome.FAILED, Outcome.COMPLETED]
    gaps_ns = np.array([10, 20, 999, 999, 999, 30]) * MS
    result = Partial.of(facts, gaps_ns, np.array([2, 1, 2, 1]))
    assert result.gaps.count == 3
    assert result.gaps.order_statistics([0, 1, 2]) == pytest.approx([10, 20, 30], rel=RELATIVE_ERROR)


def test_censored_requests_are_kept_apart_as_bounds(make_facts, make_partial):
    facts = make_facts(2)
    facts["outcome"] = [Outcome.COMPLETED, Outcome.CENSORED]
    result = make_partial(facts)
    row, bounds_row = ROW["request_latency"], CENSORED_ROW["request_latency"]
    assert result.samples.ranked(row).order_statistics([0, 1]) == [600, math.inf]
    assert result.samples.ranked_with(row, result.bounds, bounds_row).order_statistics([0, 1]) == [600, 610]


@pytest.mark.parametrize("exact_limit", [3, 1_000])
def test_unsent_arrivals_bound_what_is_measured_from_the_intended_time(
    make_facts, make_partial, make_run, monkeypatch, exact_limit
):
    monkeypatch.setattr(distribution, "EXACT_LIMIT", exact_limit)
    total = make_partial(make_facts(4))
    total.add_unsent(np.array([5_000.0, 7_000.0]))
    total.add_unsent(np.array([1.0]))
    metrics = summarise(total, make_run(Ledger(issued=4, completed=4, unsent=3, offered=7))).metrics
    for tag, known in (("effective_latency", 610), ("effective_time_to_first_token", 110)):
        result = metrics[tag]
        assert (result.statistics["count"], result.bound_count) == (7, 3)
        assert result.statistics["max"] == 7_000
        assert result.statistics["p50"] == pytest.approx(known, rel=RELATIVE_ERROR)
        # Were all three the slowest of the seven, p50 would still be one of the four that are known.
        assert {"p75", "p99", "avg", "max"} <= set(result.lower_bounds)
        assert "p50" not in result.lower_bounds
    for tag in ("request_latency", "time_to_first_token"):
        assert metrics[tag].statistics["count"] == 4
        assert metrics[tag].lower_bounds == []
    assert metrics["adj_effective_latency"].statistics["count"] == 7


@pytest.mark.parametrize("streaming", [True, False])
def test_where_every_request_was_cut_what_they_waited_is_all_that_is_known(
    make_facts, make_partial, make_run, streaming
):
    cut = make_facts(3, outcome=Outcome.CENSORED, first_content_ns=-1, first_output_ns=-1, last_content_ns=-1)
    run = make_run(Ledger(issued=3, censored=3), plan={"endpoint": {"streaming": streaming}})
    metrics = summarise(make_partial(cut), run).metrics
    latency = metrics["request_latency"]
    assert (latency.statistics["p50"], latency.statistics["count"], latency.bound_count) == (610, 3, 3)
    assert {"min", "avg", "p1", "p50", "p99", "max"} <= set(latency.lower_bounds)
    assert ("time_to_first_token" in metrics) == streaming
    assert "time_to_first_output_token" not in metrics


def test_live_statistics_follow_every_merge(make_facts, make_partial):
    total = Partial.empty()
    assert total.live_statistics() == {}
    total.merge(make_partial(make_facts(3)))
    assert total.live_statistics()["inter_token_latency"]["avg"] == pytest.approx(10)
    total.merge(make_partial(make_facts(3, first_content_ns=make_facts()["first_content_ns"] + 100 * MS)))
    ttft = total.live_statistics()["time_to_first_token"]
    assert ttft["avg"] == pytest.approx(150)
    assert ttft["p99"] == pytest.approx(200, rel=RELATIVE_ERROR)


def test_arrival_order_is_the_order_of_merging(make_facts, make_partial):
    total = Partial.empty()
    for end_ns in (30, 10, 20):
        total.merge(make_partial(make_facts(end_ns=end_ns)))
    assert total.end_ns_by_arrival().tolist() == [30, 10, 20]


def test_merging_leaves_the_other_as_it_was(make_facts, make_partial):
    other, total = make_partial(make_facts(2)), Partial.empty()
    total.merge(other)
    total.merge(other)
    assert (total.record_count, other.record_count) == (4, 2)
    assert other.samples.waiting.count == 2


def test_above_its_limit_a_partial_stops_keeping_instants(make_facts, make_partial, monkeypatch):
    monkeypatch.setattr(partial, "SWEEP_LIMIT", 3)
    total = make_partial(make_facts(2))
    total.merge(make_partial(make_facts(2)))
    assert total.sweep_columns() is None
    assert total.end_ns_by_arrival() is None
    again = Partial.from_frames(total.to_frames())
    again.merge(make_partial(make_facts(1)))
    assert again.sweep_columns() is None
    assert again.record_count == 5


def test_another_phase_can_be_the_one_that_counts(make_facts):
    facts = make_facts(3)
    facts["phase"] = [PhaseKind.WARMUP, PhaseKind.PROFILING, PhaseKind.WARMUP]
    result = Partial.of(facts, np.array([MS]), np.array([1, 0, 0]), phase=PhaseKind.WARMUP)
    assert (result.record_count, result.other_count, result.gaps.count) == (2, 1, 1)
