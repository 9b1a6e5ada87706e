import statistics

from hypothesis import given
from hypothesis import strategies as st

from aiperf.mock.answer import AT_ONCE, Answer, Ending
from aiperf.mock.behaviour import Behaviour
from aiperf.mock.latency import Latency


def answer_of(*steps, delays_ns=()):
    answer = Answer(200, Ending.KEEP)
    for step, delay_ns in zip(steps, delays_ns or [0] * len(steps), strict=True):
        answer.add(b"x", step, delay_ns)
    return answer


def test_constant_chunks_are_due_at_ttft_plus_whole_gaps():
    latency = Latency(Behaviour(), process=0)
    assert latency.offsets_ns(answer_of(0, 1, 2, 3), 100, 10) == [100, 110, 120, 130]


def test_what_is_sent_at_once_waits_for_no_ttft():
    latency = Latency(Behaviour(), process=0)
    assert latency.offsets_ns(answer_of(AT_ONCE, 0), 100, 10) == [0, 100]


def test_delays_of_faults_come_on_top():
    latency = Latency(Behaviour(), process=0)
    assert latency.offsets_ns(answer_of(AT_ONCE, 0, 1, delays_ns=[5, 5, 7]), 100, 10) == [5, 105, 117]


def test_one_answer_serves_requests_of_different_latency():
    latency, answer = Latency(Behaviour(), process=0), answer_of(0, 1)
    assert latency.offsets_ns(answer, 100, 10) == [100, 110]
    assert latency.offsets_ns(answer, 200, 20) == [200, 220]


@given(st.integers(0, 10**9), st.integers(0, 10**8), st.integers(0, 2**32), st.integers(1, 50), st.integers(1, 4))
def test_drawn_due_times_never_fall(ttft_ns, itl_ns, seed, count, group):
    latency = Latency(Behaviour(lognormal=True, seed=seed), process=0)
    offsets_ns = latency.offsets_ns(answer_of(AT_ONCE, *range(group - 1, count * group, group)), ttft_ns, itl_ns)
    assert len(offsets_ns) == count + 1
    assert offsets_ns[0] == 0
    assert offsets_ns == sorted(offsets_ns)


def test_the_mean_of_drawn_delays_is_as_stated():
    latency, answer = Latency(Behaviour(lognormal=True, ttft_sigma=0.8), process=0), answer_of(0)
    draws = [latency.offsets_ns(answer, 1_000_000, 0)[0] for _ in range(20_000)]
    assert 960_000 < statistics.fmean(draws) < 1_040_000
    assert statistics.median(draws) < 800_000


def test_processes_draw_differently_from_the_same_seed():
    behaviour, answer = Behaviour(lognormal=True), answer_of(0, 1, 2)
    one, other = (Latency(behaviour, process).offsets_ns(answer, 1000, 1000) for process in (0, 1))
    assert one != other
    assert one == Latency(behaviour, 0).offsets_ns(answer, 1000, 1000)


def test_an_answer_that_only_ends_has_one_due_time():
    latency = Latency(Behaviour(lognormal=True), process=0)
    assert len(latency.offsets_ns(answer_of(0), 1000, 0)) == 1
