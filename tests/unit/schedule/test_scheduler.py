"""The scheduler with the dispatchers of its workers, in simulated time."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MS = 1_000_000
S = 1_000_000_000
START_NS = 10 * S

simulated = settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

loads = st.fixed_dictionaries(
    {
        "concurrency": st.none() | st.integers(1, 30),
        "rate_rps": st.none() | st.floats(1, 300),
        "request_count": st.none() | st.integers(1, 300),
        "duration_ns": st.none() | st.integers(1 * MS, 6 * S),
        "grace_ns": st.integers(0, 2 * S),
        "seed": st.integers(0, 1000),
    }
).map(lambda load: bounded(load))


def bounded(load):
    """Neither rate nor concurrency, or neither count nor duration, is what `phases` fills in."""
    if load["concurrency"] is None and load["rate_rps"] is None:
        load["concurrency"] = 1
    if load["request_count"] is None and load["duration_ns"] is None:
        load["request_count"] = 10
    return load


def named(limits):
    return {f"w{position}": limit for position, limit in enumerate(limits)}


limits = st.lists(st.integers(1, 40), min_size=1, max_size=6)
latency_bounds_ms = st.tuples(st.integers(0, 50), st.integers(0, 1500)).map(sorted)


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
    joins=st.lists(st.tuples(st.integers(1, 40), st.integers(-900, 6000)), max_size=3),
    stop=st.none() | st.tuples(st.integers(-900, 6000), st.integers(0, 1000)),
)
def test_losses_joins_and_stops_leave_an_account_that_reconciles(
    simulate, phase_plan, load, limits, bounds, seed, losses, joins, stop
):
    simulation = simulate(phase_plan(**load), named(limits), seed=seed, latency_ns=uniform_ms(bounds))
    for position, at_ms in losses:
        if position < len(limits):
            simulation.lose(f"w{position}", START_NS + at_ms * MS)
    for number, (limit, at_ms) in enumerate(joins):
        simulation.join(f"j{number}", limit, START_NS + at_ms * MS)
    if stop is not None:
        simulation.stop(START_NS + stop[0] * MS, stop[1] * MS)
    simulation.run()
