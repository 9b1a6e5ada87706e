"""The scheduler with the dispatchers of its workers, in simulated time."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiperf.schedule.actions import CutWorker, EndCredits, IssueCredits
from aiperf.schedule.ledger import CreditReturn, Ledger
from aiperf.schedule.phases import Pattern
from aiperf.schedule.scheduler import Scheduler
from aiperf.schedule.shares import WorkerShare

MS = 1_000_000
S = 1_000_000_000
START_NS = 10 * S

simulated = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


def bounded(load):
    """Neither rate nor concurrency, or neither count nor duration, is what `phases` fills in."""
    if load["concurrency"] is None and load["rate_rps"] is None:
        load["concurrency"] = 1
    if load["request_count"] is None and load["duration_ns"] is None:
        load["request_count"] = 10
    return load


loads = st.fixed_dictionaries(
    {
        "concurrency": st.none() | st.integers(1, 30),
        "rate_rps": st.none() | st.floats(1, 300),
        "request_count": st.none() | st.integers(1, 300),
        "duration_ns": st.none() | st.integers(1 * MS, 6 * S),
        "grace_ns": st.integers(0, 2 * S),
        "seed": st.integers(0, 1000),
    }
).map(bounded)


def named(limits):
    return {f"w{position}": limit for position, limit in enumerate(limits)}


limits = st.lists(st.integers(1, 40), min_size=1, max_size=6)
latency_bounds_ms = st.tuples(st.integers(2, 50), st.integers(2, 1500)).map(sorted)


def is_credits(action):
    return isinstance(action, IssueCredits)


def uniform_ms(bounds):
    return lambda random: random.randint(*bounds) * MS


@simulated
@given(load=loads, limits=limits, bounds=latency_bounds_ms, seed=st.integers(0, 10**6), skew_ms=st.integers(0, 20))
def test_every_credit_comes_back_exactly_once(simulate, phase_plan, load, limits, bounds, seed, skew_ms):
    run = simulate(
        phase_plan(**load), named(limits), seed=seed, latency_ns=uniform_ms(bounds), skew_max_ns=skew_ms * MS
    ).run()
    assert set(run.ended) == set(run.dispatched_ns)
    if load["duration_ns"] is None:
        assert set(run.dispatched_ns) == set(range(load["request_count"]))
        assert run.ledger.unsent == 0
    if load["request_count"] is not None:
        assert run.ledger.offered <= load["request_count"]


@simulated
@given(
    load=loads,
    limits=limits,
    bounds=latency_bounds_ms,
    seed=st.integers(0, 10**6),
    losses=st.lists(st.tuples(st.integers(0, 5), st.integers(-900, 6000)), max_size=7),
    leaves=st.lists(st.tuples(st.integers(0, 5), st.integers(-900, 6000)), max_size=7),
    joins=st.lists(st.tuples(st.integers(1, 40), st.integers(-900, 6000)), max_size=3),
    stop=st.none() | st.tuples(st.integers(-900, 6000), st.integers(0, 1000)),
    awaits_workers=st.booleans(),
)
def test_losses_joins_and_stops_leave_an_account_that_reconciles(
    simulate, phase_plan, load, limits, bounds, seed, losses, leaves, joins, stop, awaits_workers
):
    simulation = simulate(
        phase_plan(**load), named(limits), seed=seed, latency_ns=uniform_ms(bounds), awaits_workers=awaits_workers
    )
    for happenings, befall in ((losses, simulation.lose), (leaves, simulation.leave)):
        for position, at_ms in happenings:
            if position < len(limits):
                befall(f"w{position}", START_NS + at_ms * MS)
    if awaits_workers:
        # Whoever waits for workers gives up some day.
        simulation.stop(START_NS + 400 * S, 0)
    for number, (limit, at_ms) in enumerate(joins):
        simulation.join(f"j{number}", limit, START_NS + at_ms * MS)
    if stop is not None:
        simulation.stop(START_NS + stop[0] * MS, stop[1] * MS)
    simulation.run()


@simulated
@given(
    concurrency=st.integers(1, 30),
    limits=st.lists(st.integers(5, 40), min_size=1, max_size=6),
    duration_ns=st.integers(100 * MS, 4 * S),
    bounds=st.tuples(st.integers(20, 50), st.integers(50, 1500)),
    seed=st.integers(0, 10**6),
)
def test_a_run_bounded_by_duration_executes_a_prefix_with_holes_no_larger_than_the_prefetch(
    simulate, phase_plan, concurrency, limits, duration_ns, bounds, seed
):
    plan = phase_plan(concurrency=concurrency, duration_ns=duration_ns, grace_ns=S)
    run = simulate(plan, named(limits), seed=seed, latency_ns=uniform_ms(bounds)).run()
    holes = set(range(max(run.dispatched_ns) + 1)) - set(run.dispatched_ns)
    prefetch = max(concurrency, 1 + int(concurrency * 0.2 / 0.020))  # the latency is at least 20 ms
    assert len(holes) <= prefetch
    assert len(run.due_ns) - len(run.dispatched_ns) <= prefetch


@pytest.mark.parametrize("pattern", Pattern)
@pytest.mark.parametrize("bound", [{"request_count": 5_000}, {"duration_ns": 9 * S}])
def test_the_request_stream_is_the_same_for_any_number_of_workers(simulate, phase_plan, pattern, bound):
    def stream(workers):
        return simulate(phase_plan(rate_rps=500, pattern=pattern, **bound), named([1000] * workers)).run().due_ns

    alone = stream(1)
    assert len(alone) > 4_000
    assert alone == stream(3) == stream(8)


def test_arrivals_are_dealt_by_index(simulate, phase_plan):
    run = simulate(phase_plan(rate_rps=100, request_count=1000), named([100] * 3)).run()
    assert all(owner == f"w{index % 3}" for index, owner in run.owner.items())


def test_open_loop_sends_every_arrival_at_its_due_instant(simulate, phase_plan):
    run = simulate(phase_plan(rate_rps=200, duration_ns=5 * S), named([1000] * 4), latency_ns=lambda _: 2 * S).run()
    assert set(run.waits_ns()) == {0}
    assert run.ledger.unsent == 0


def test_open_loop_arrivals_wait_when_a_worker_is_at_its_file_limit(simulate, phase_plan):
    plan = phase_plan(rate_rps=100, request_count=50, pattern=Pattern.CONSTANT)
    run = simulate(plan, {"w0": 2}, latency_ns=lambda _: 100 * MS).run()
    assert run.in_flight_max == 2
    assert run.ledger.issued == 50
    assert max(run.waits_ns()) > S


def test_credits_are_handed_out_at_most_two_seconds_ahead(phase_plan):
    scheduler = Scheduler(phase_plan(rate_rps=1000, duration_ns=20 * S))
    batches = [(START_NS, scheduler.start([WorkerShare("a", 100)], START_NS, START_NS - S))]
    while (now_ns := scheduler.next_tick_ns()) >= 0:
        batches.append((now_ns, scheduler.tick(now_ns)))
    dues_ns = [(now_ns, action.due_ns) for now_ns, actions in batches for action in actions if is_credits(action)]
    assert all(due_ns[-1] <= now_ns + 2 * S for now_ns, due_ns in dues_ns)
    assert sum(due_ns.size for _, due_ns in dues_ns) == scheduler.ledger.issued
    at_least_ahead = [later[0] - now_ns for (now_ns, _), (_, later) in pairwise(dues_ns)]
    assert min(at_least_ahead) > S, "a pause of a second is not felt"


@pytest.mark.parametrize("workers", [1, 30, 400])
def test_batches_per_second_stay_bounded_with_many_workers(phase_plan, workers):
    scheduler = Scheduler(phase_plan(rate_rps=50_000, duration_ns=10 * S))
    actions = scheduler.start([WorkerShare(f"w{n}", 1000) for n in range(workers)], START_NS, START_NS - S)
    ticks = 0
    while (now_ns := scheduler.next_tick_ns()) >= 0:
        actions += scheduler.tick(now_ns)
        ticks += 1
    assert 8 <= ticks <= 40
    assert sum(map(is_credits, actions)) <= 1000 * 11


@pytest.mark.parametrize("request_count", [1, 7, 40, 41, 200])
def test_a_counted_closed_run_starts_with_its_first_credits_spread_evenly(phase_plan, request_count):
    scheduler = Scheduler(phase_plan(concurrency=40, request_count=request_count))
    actions = scheduler.start([WorkerShare(f"w{n}", 100) for n in range(4)], START_NS, 0)
    first = Counter(a.worker for a in actions if is_credits(a) for index in a.indices if index < 40)
    assert max(first.values()) - min(first[f"w{n}"] for n in range(4)) <= 1


def test_towards_the_end_of_a_counted_run_no_worker_sits_on_credits_others_could_use(simulate, phase_plan):
    slow_and_fast = {"w0": lambda _: 1000 * MS, "w1": lambda _: 50 * MS}
    run = simulate(
        phase_plan(concurrency=20, request_count=300), named([10, 10]), latencies_ns=slow_and_fast, delay_max_ns=MS
    ).run()
    last_ns = {name: max(t for i, t in run.dispatched_ns.items() if run.owner[i] == name) for name in slow_and_fast}
    assert last_ns["w0"] - last_ns["w1"] <= 1000 * MS, "the slow worker had no second helping when the fast one ran dry"


def test_closed_loop_keeps_all_slots_busy(simulate, phase_plan):
    duration_ns, latency_ns = 10 * S, 30 * MS
    run = simulate(
        phase_plan(concurrency=12, duration_ns=duration_ns), named([10] * 3), latency_ns=lambda _: latency_ns
    ).run()
    assert len(run.dispatched_ns) >= 0.98 * 12 * duration_ns / latency_ns


def test_closed_loop_uses_all_workers_and_the_remainder_goes_to_the_first(phase_plan):
    scheduler = Scheduler(phase_plan(concurrency=8, request_count=100))
    scheduler.start([WorkerShare(name, 100) for name in "abc"], START_NS, 0)
    assert scheduler.slots == {"a": 3, "b": 3, "c": 2}


def test_a_cap_stays_with_the_fewest_workers_that_can_carry_it(phase_plan):
    scheduler = Scheduler(phase_plan(concurrency=80, rate_rps=10, request_count=100))
    scheduler.start([WorkerShare(name, 50) for name in "abc"], START_NS, 0)
    assert scheduler.slots == {"a": 40, "b": 40}


def test_slots_that_no_worker_can_hold_are_told(phase_plan):
    scheduler = Scheduler(phase_plan(concurrency=80, request_count=100))
    scheduler.start([WorkerShare("a", 50)], START_NS, 0)
    assert scheduler.unassigned_slots == 30


def test_lending_shortens_the_wait_for_slots_under_skewed_load(simulate, phase_plan):
    """Two workers share a cap evenly, yet the requests of one take twice as long: it needs more than its half."""

    def total_wait_ns(lends):
        run = simulate(
            phase_plan(concurrency=16, rate_rps=55, request_count=2_000),
            named([8 + 6, 8 + 1]),
            latencies_ns={"w0": lambda _: 300 * MS, "w1": lambda _: 150 * MS},
            lends=lends,
        ).run()
        assert (run.moves > 1) == lends, "without, slots move only from a worker that is done"
        return sum(run.waits_ns())

    assert total_wait_ns(lends=True) < total_wait_ns(lends=False) / 2


def test_a_lost_workers_arrivals_go_to_the_survivors_and_none_is_sent_twice(simulate, phase_plan):
    simulation = simulate(phase_plan(rate_rps=100, duration_ns=8 * S, grace_ns=S), named([100] * 3))
    simulation.lose("w1", START_NS + 3 * S)
    run = simulation.run()
    assert 0 < run.ledger.lost < 150, "what it had in hand and in flight"
    assert run.ledger.unsent == 0
    late = [owner for index, owner in run.owner.items() if run.due_ns[index] > START_NS + 6 * S]
    assert Counter(late).keys() == {"w0", "w2"}
    assert abs(Counter(late)["w0"] - Counter(late)["w2"]) <= 1


def test_a_lost_workers_slots_move_to_the_survivors_up_to_their_limits(simulate, phase_plan):
    simulation = simulate(phase_plan(concurrency=12, duration_ns=8 * S, grace_ns=S), {"w0": 6, "w1": 7, "w2": 4})
    simulation.lose("w0", START_NS + 3 * S)
    run = simulation.run()
    assert simulation.scheduler.slots == {"w1": 7, "w2": 4}
    assert simulation.scheduler.unassigned_slots == 1
    in_flight_late = len(run.dispatched_ns.keys() - run.ended.keys())
    assert run.ledger.lost >= in_flight_late


def test_a_spare_takes_a_lost_workers_place(simulate, phase_plan):
    simulation = simulate(phase_plan(rate_rps=100, duration_ns=8 * S, grace_ns=S), named([100] * 2))
    simulation.join("late", 100, START_NS + S)
    simulation.lose("w0", START_NS + 3 * S)
    run = simulation.run()
    of_spare = [run.due_ns[index] for index, owner in run.owner.items() if owner == "late"]
    assert min(of_spare) > START_NS + 3 * S
    assert len(of_spare) > 100


def test_slots_that_could_not_move_go_to_the_spare_that_joins(simulate, phase_plan):
    simulation = simulate(phase_plan(concurrency=12, duration_ns=8 * S, grace_ns=S), {"w0": 6, "w1": 6})
    simulation.lose("w0", START_NS + 2 * S)
    simulation.join("w0.1", 10, START_NS + 4 * S)
    run = simulation.run()
    assert simulation.scheduler.slots == {"w1": 6, "w0.1": 6}
    assert simulation.scheduler.unassigned_slots == 0
    of_spare = [
        run.dispatched_ns[index] for index, owner in run.owner.items() if owner == "w0.1" and index in run.ended
    ]
    assert min(of_spare) >= START_NS + 4 * S
    assert len(of_spare) > 6 * 70, "six slots of 50 ms for four seconds, less what messages take"


@pytest.mark.parametrize("planned", [2, 3])
def test_in_closed_loop_a_planned_worker_that_comes_late_gets_an_even_share(phase_plan, simulate, planned):
    plan = phase_plan(concurrency=12, duration_ns=8 * S, grace_ns=S)
    simulation = simulate(plan, named([100] * 2), workers_planned=planned)
    simulation.join("late", 100, START_NS + 2 * S)
    run = simulation.run()
    assert simulation.scheduler.slots == ({"w0": 4, "w1": 4, "late": 4} if planned == 3 else {"w0": 6, "w1": 6})
    assert run.in_flight_max == 12
    # Slots on their way from one to another are used by neither, but not for long.
    assert len(run.dispatched_ns) > 0.98 * 12 * 8 * S / (50 * MS)


def test_a_replacement_gets_the_share_that_the_survivors_took_over(phase_plan, simulate):
    simulation = simulate(phase_plan(concurrency=12, duration_ns=9 * S, grace_ns=S), named([100] * 3))
    simulation.lose("w1", START_NS + 2 * S)
    simulation.join("w1.1", 100, START_NS + 5 * S)
    run = simulation.run()
    assert simulation.scheduler.slots == {"w0": 4, "w2": 4, "w1.1": 4}
    assert run.in_flight_max == 12


@pytest.mark.parametrize("rate", [{}, {"rate_rps": 200}])
def test_slots_nobody_could_hold_are_counted_until_they_are_placed_again(phase_plan, rate):
    scheduler = Scheduler(phase_plan(concurrency=12, duration_ns=8 * S, grace_ns=S, **rate))
    scheduler.start([WorkerShare("a", 6), WorkerShare("b", 6)], START_NS, START_NS - S)
    scheduler.worker_lost("a", START_NS + 2 * S)
    scheduler.worker_joined("a.1", 4, START_NS + 4 * S)
    scheduler.tick(START_NS + 8 * S)
    (finish,) = scheduler.worker_lost("b", START_NS + 9 * S) + scheduler.worker_lost("a.1", START_NS + 9 * S)
    assert finish.unplaced_slot_ns == 6 * 2 * S + 2 * 4 * S


def test_slots_that_are_lent_count_as_placed_on_their_way(simulate, phase_plan):
    plan = phase_plan(rate_rps=150, concurrency=8, duration_ns=8 * S, grace_ns=S)
    latencies = {"w0": lambda _: 100 * MS, "w1": lambda _: 20 * MS}
    simulation = simulate(plan, named([7] * 2), latencies_ns=latencies)
    assert simulation.run().moves > 2
    assert simulation.unplaced_slot_ns == 0


def test_in_open_loop_a_worker_that_comes_late_is_used_if_it_was_planned(phase_plan):
    plan = phase_plan(rate_rps=100, duration_ns=8 * S)
    for planned, is_used in ((0, False), (2, False), (3, True)):
        scheduler = Scheduler(plan, workers_planned=planned)
        scheduler.start([WorkerShare("a", 10), WorkerShare("b", 10)], START_NS, START_NS - S)
        assert bool(scheduler.worker_joined("c", 10, START_NS)) is is_used


def shares_of(names: str) -> list[WorkerShare]:
    return [WorkerShare(name, 10) for name in names]


def given_by(actions) -> dict[str, np.ndarray]:
    issues = list(filter(is_issue, actions))
    return {
        worker: np.concatenate([issue.indices for issue in issues if issue.worker == worker])
        for worker in {issue.worker for issue in issues}
    }


def is_issue(action) -> bool:
    return isinstance(action, IssueCredits)


def test_a_name_seen_before_is_never_used_again(phase_plan):
    scheduler = Scheduler(phase_plan(rate_rps=100, duration_ns=8 * S))
    scheduler.start([WorkerShare("a", 10), WorkerShare("b", 10)], START_NS, 0)
    scheduler.worker_lost("a", START_NS)
    assert scheduler.worker_joined("a", 10, START_NS) == []
    assert scheduler.worker_joined("c", 10, START_NS) != []


def test_returns_of_a_lost_worker_change_nothing(phase_plan):
    scheduler = Scheduler(phase_plan(concurrency=2, request_count=100))
    scheduler.start([WorkerShare("a", 10), WorkerShare("b", 10)], START_NS, 0)
    scheduler.worker_lost("a", START_NS)
    before = scheduler.ledger
    assert scheduler.returned("a", CreditReturn(completed=1), START_NS) == []
    assert scheduler.ledger == before


def test_credits_that_a_leaving_worker_hands_back_are_the_next_that_others_get(phase_plan):
    scheduler = Scheduler(phase_plan(concurrency=4, request_count=100))
    given = given_by(scheduler.start(shares_of("ab"), START_NS, 0))
    unused = given["a"][2:]
    scheduler.returned("a", CreditReturn(unused=unused.tobytes(), in_flight=2), START_NS)
    scheduler.returned("a", CreditReturn(completed=2), START_NS)
    handed = scheduler.ledger.issued
    assert not list(filter(is_issue, scheduler.worker_lost("a", START_NS))), "b has as many as its slots can use"
    (issue,) = filter(is_issue, scheduler.returned("b", CreditReturn(completed=4, idle_slots=2), START_NS))
    assert issue.indices[: unused.size].tolist() == unused.tolist()
    assert scheduler.ledger.issued == handed + issue.indices.size
    assert scheduler.ledger.lost == 0


def test_of_arrivals_that_a_leaving_worker_hands_back_others_send_those_that_are_not_due_yet(phase_plan):
    scheduler = Scheduler(phase_plan(rate_rps=10, request_count=100, pattern=Pattern.CONSTANT))
    first = scheduler.start(shares_of("ab"), START_NS, START_NS - S)
    given = given_by(first)
    (of_a,) = [action for action in first if is_issue(action) and action.worker == "a"]
    now_ns = START_NS + 500 * MS
    (issue,) = filter(is_issue, scheduler.returned("a", CreditReturn(unused=given["a"].tobytes()), now_ns))
    is_ahead = of_a.due_ns > now_ns
    assert 0 < is_ahead.sum() < given["a"].size
    assert issue.worker == "b"
    assert issue.indices.tolist() == given["a"][is_ahead].tolist()
    assert issue.due_ns.tolist() == of_a.due_ns[is_ahead].tolist()
    scheduler.worker_lost("a", now_ns)
    assert scheduler.ledger.lost == 0
    assert scheduler.ledger.unsent == given["a"].size - is_ahead.sum()


def test_who_has_handed_back_arrivals_is_dealt_no_more(phase_plan):
    scheduler = Scheduler(phase_plan(rate_rps=100, request_count=1000))
    given = given_by(scheduler.start(shares_of("ab"), START_NS, START_NS - S))
    scheduler.returned("a", CreditReturn(unused=given["a"].tobytes()), START_NS)
    assert given_by(scheduler.tick(START_NS + S)).keys() == {"b"}


def test_an_eviction_at_a_rate_costs_only_what_was_due_while_it_was_told(simulate, phase_plan):
    simulation = simulate(phase_plan(rate_rps=100, duration_ns=8 * S, grace_ns=S), named([100] * 3))
    simulation.leave("w1", START_NS + 3 * S)
    run = simulation.run()
    assert run.ledger.lost == 0
    assert run.ledger.unsent <= 3, "a third of a hundred a second, for some milliseconds"


@pytest.mark.parametrize("load", [{"rate_rps": 100}, {"concurrency": 10}, {"rate_rps": 100, "concurrency": 5}])
def test_a_phase_that_awaits_workers_goes_on_with_the_one_that_comes(simulate, phase_plan, load):
    plan = phase_plan(duration_ns=20 * S, grace_ns=S, **load)
    simulation = simulate(plan, named([10]), awaits_workers=True)
    simulation.lose("w0", START_NS + 3 * S)
    simulation.join("w0.1", 10, START_NS + 10 * S)
    run = simulation.run()
    of_second = [run.dispatched_ns[index] for index, name in run.owner.items() if name == "w0.1" and index in run.ended]
    assert min(of_second) >= START_NS + 10 * S
    assert max(of_second) > START_NS + 19 * S
    if "rate_rps" in load:
        assert max(run.dispatched_ns[i] - run.due_ns[i] for i in run.dispatched_ns) < S, "no burst of what is past"
        assert run.ledger.unsent == pytest.approx(700 - run.ledger.lost, rel=0.3)


def test_a_phase_that_awaits_workers_in_vain_ends_at_its_stop(simulate, phase_plan):
    simulation = simulate(phase_plan(rate_rps=10, duration_ns=20 * S, grace_ns=S), named([10]), awaits_workers=True)
    simulation.lose("w0", START_NS + 3 * S)
    assert START_NS + 20 * S <= simulation.run().end_ns < START_NS + 22 * S


@pytest.mark.parametrize("load", [{"rate_rps": 10}, {"concurrency": 10}, {"rate_rps": 10, "concurrency": 3}])
def test_the_phase_ends_when_all_workers_are_lost(phase_plan, load):
    scheduler = Scheduler(phase_plan(request_count=1000, **load))
    scheduler.start([WorkerShare("a", 10)], START_NS, START_NS - S)
    handed = scheduler.ledger.issued
    (finish,) = scheduler.worker_lost("a", START_NS + 30 * S)
    assert finish.ledger.lost == finish.ledger.issued == handed
    assert finish.ledger.reconciles
    if "rate_rps" in load:
        assert finish.ledger.offered == pytest.approx(300, rel=0.3), "arrivals until then were asked for"


def test_a_phase_without_workers_ends_at_once(phase_plan):
    scheduler = Scheduler(phase_plan(request_count=10, rate_rps=1))
    (finish,) = scheduler.start([], START_NS, START_NS)
    assert finish.ledger == Ledger()


def test_an_early_stop_cuts_every_worker_and_hands_back_what_was_not_sent(simulate, phase_plan):
    simulation = simulate(phase_plan(rate_rps=100, request_count=1000), named([100] * 2), latency_ns=lambda _: S)
    simulation.stop(START_NS + 4 * S, grace_ns=100 * MS)
    run = simulation.run()
    assert run.ledger.censored > 0
    assert run.ledger.issued == len(run.dispatched_ns) < 450
    assert run.end_ns < START_NS + 4 * S + 200 * MS


def test_a_second_stop_moves_the_cut(phase_plan):
    scheduler = Scheduler(phase_plan(concurrency=2, request_count=100))
    scheduler.start([WorkerShare("a", 10)], START_NS, 0)
    assert scheduler.stop(50 * S, 20 * S) == [CutWorker("a", 50 * S), EndCredits("a")]
    assert scheduler.stop(21 * S, 21 * S) == [CutWorker("a", 21 * S)]


def test_an_account_with_a_missing_return_does_not_reconcile(phase_plan):
    scheduler = Scheduler(phase_plan(concurrency=1, request_count=2))
    scheduler.start([WorkerShare("a", 10)], START_NS, 0)
    (finish,) = scheduler.returned("a", CreditReturn(completed=1, drained=True), 20 * S)
    assert finish.ledger.issued == 2
    assert not finish.ledger.reconciles


def test_an_overloaded_cap_hands_out_no_more_than_can_be_used_soon(simulate, phase_plan):
    plan = phase_plan(concurrency=2, rate_rps=1_000, duration_ns=20 * S)
    run = simulate(plan, {"w0": 10}, latency_ns=lambda _: 100 * MS).run()
    assert run.queued_max < 10_000
    assert run.ledger.offered == pytest.approx(20_000, rel=0.05)
    assert run.ledger.issued == pytest.approx(400, rel=0.05)


def test_progress_counts_what_was_due_so_far_as_offered(phase_plan):
    scheduler = Scheduler(phase_plan(rate_rps=10, request_count=1000, pattern=Pattern.CONSTANT))
    scheduler.start([WorkerShare("a", 100)], START_NS, START_NS - S)
    assert scheduler.ledger.offered == 0
    scheduler.tick(START_NS + 500 * MS)
    assert scheduler.ledger.offered == 5


@pytest.mark.parametrize(("return_interval_s", "issued"), [(0.1, 20 + 20), (1.0, 20 + 80)])
def test_a_closed_loop_hand_lasts_for_two_intervals_of_returns(phase_plan, return_interval_s, issued):
    scheduler = Scheduler(phase_plan(concurrency=20, duration_ns=60 * S), return_interval_s=return_interval_s)
    scheduler.start([WorkerShare("a", 1000)], 0, 0)
    scheduler.returned("a", CreditReturn(in_flight=20), 0)
    (order,) = scheduler.returned("a", CreditReturn(completed=40, idle_slots=20), S)
    assert isinstance(order, IssueCredits)
    assert len(order.indices) == issued
