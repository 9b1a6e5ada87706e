import numpy as np

from aiperf.endpoint.exchange import Outcome
from aiperf.metrics.workers import Workers, WorkerTally

MS = 1_000_000


def rows(make_facts):
    facts = make_facts(4)
    facts["worker_index"] = [3, 1, 3, 3]
    facts["outcome"] = [Outcome.COMPLETED, Outcome.COMPLETED, Outcome.FAILED, Outcome.COMPLETED]
    facts["dispatched_ns"] += np.array([0, 1, 2, 3]) * MS
    facts["first_content_width_ns"] = [0, 2 * MS, 2 * MS, 2 * MS]
    facts["rearm_delay_ns"] = [-1, 5, 7, -1]
    return facts


def test_each_worker_has_its_own_tally(make_facts):
    facts = rows(make_facts)
    start = int(facts["due_ns"][0])
    tallies = Workers.of(facts).by_index
    assert tallies[1] == WorkerTally(1, 1, 1, 0, 1, 1, 2 * MS, 2 * MS, 10 * MS, 5, start + 2 * MS, start)
    assert tallies[3] == WorkerTally(3, 3, 2, 1, 1, 3, 8 * MS, 4 * MS, 10 * MS, 7, start + MS, start)


def test_merged_parts_are_the_whole(make_facts):
    facts = rows(make_facts)
    whole = Workers.of(facts).by_index
    for cut in range(5):
        merged = Workers.of(facts[cut:])
        merged.merge(Workers.of(facts[:cut]))
        assert merged.by_index == whole


def test_lags_are_only_of_requests_that_were_due(make_facts):
    tally = Workers.of(make_facts(due_ns=-1)).by_index[0]
    assert (tally.due_count, tally.dispatch_lag_sum_ns, tally.send_lag_max_ns) == (0, 0, 0)
