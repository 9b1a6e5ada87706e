import pytest

from aiperf.metrics.run_facts import PhaseFacts, WorkerFacts
from aiperf.metrics.summary import summarise
from aiperf.metrics.worker_rows import start_lags_ns, worker_rows
from aiperf.metrics.workers import Workers, WorkerTally
from aiperf.record.facts import NONE
from aiperf.schedule.phases import PhaseKind

MS = 1_000_000


def tallies(**first: tuple[int, int]) -> Workers:
    """Workers that dispatched their first request at an instant, and that was due at one."""
    return Workers(
        WorkerTally(int(name[1:]), request_count=1, first_dispatched_ns=dispatched_ns, first_due_ns=due_ns)
        for name, (dispatched_ns, due_ns) in first.items()
    )


@pytest.fixture
def run_of(make_run):
    def run(*workers: WorkerFacts):
        phase = PhaseFacts(phase=PhaseKind.PROFILING, start_ns=100 * MS, end_ns=200 * MS)
        return make_run(workers=workers, phases=[phase])

    return run


def test_a_row_joins_the_records_with_what_the_worker_says_of_itself(make_facts, make_partial, make_run):
    rows = make_facts(3)
    rows["worker_index"] = [0, 2, 2]
    workers = [
        WorkerFacts(worker_index=0, service_id="w0", host="pod-a", node="n1", observations={"loop_lag_max_ms": 2}),
        WorkerFacts(worker_index=1, service_id="w1", lost_reason="out of memory"),
    ]
    first, second, third = summarise(make_partial(rows), make_run(workers=workers)).workers
    names = ("service_id", "host", "node", "request_count", "loop_lag_max_ms")
    assert [first[name] for name in names] == ["w0", "pod-a", "n1", 1, 2]
    assert first["started_ns"] == rows["dispatched_ns"][0]
    assert (first["dispatch_lag_avg_ms"], first["send_lag_max_ms"]) == (1, 10)
    assert (second["request_count"], second["lost_reason"], second["started_ns"]) == (0, "out of memory", None)
    assert "start_skew_ms" not in second
    assert (third["worker_index"], third["request_count"]) == (2, 2)


def test_in_closed_loop_a_start_counts_from_that_of_the_phase(run_of):
    workers = tallies(w0=(101 * MS, NONE), w1=(104 * MS, NONE))
    assert start_lags_ns(workers, run_of()) == {0: MS, 1: 4 * MS}
    assert [row["start_skew_ms"] for row in worker_rows(workers, run_of())] == [1, 4]


def test_at_a_rate_a_start_counts_from_when_the_first_arrival_was_due(run_of):
    workers = tallies(w0=(151 * MS, 150 * MS), w1=(172 * MS, 170 * MS))
    assert start_lags_ns(workers, run_of()) == {0: MS, 1: 2 * MS}


def test_a_worker_that_joined_late_has_no_start_to_be_compared(run_of):
    workers = tallies(w0=(101 * MS, NONE), w1=(900 * MS, NONE))
    late = WorkerFacts(worker_index=1, service_id="w1", is_late=True)
    assert start_lags_ns(workers, run_of(late)) == {0: MS}


def test_the_start_skew_of_a_run_is_the_spread_of_its_rows(make_facts, make_partial, make_run):
    rows = make_facts(2)
    rows["worker_index"] = [0, 1]
    rows["dispatched_ns"] += [0, 3 * MS]
    summary = summarise(make_partial(rows), make_run())
    skews = [row["start_skew_ms"] for row in summary.workers]
    assert summary.metrics["start_skew"].statistics["avg"] == max(skews) - min(skews) == 3


@pytest.mark.parametrize(
    ("returned", "unreturned", "records", "lost"),
    [(10, 4, 10, 4), (10, 4, 12, 2), (10, 4, 14, 0), (10, 4, 8, 4), (0, 0, 5, 0)],
)
def test_a_lost_worker_lost_what_it_neither_returned_nor_left_a_record_of(returned, unreturned, records, lost, run_of):
    worker = WorkerFacts(worker_index=0, service_id="w0", returned_count=returned, unreturned_count=unreturned)
    (row,) = worker_rows(Workers([WorkerTally(0, request_count=records)]), run_of(worker))
    assert row["lost_count"] == lost
