from hypothesis import given
from hypothesis import strategies as st

from aiperf.api.patience import FIRST_PAUSE_S, LONGEST_PAUSE_S, Patience


def test_pauses_double_up_to_the_longest() -> None:
    patience = Patience(1000, 0)
    pauses = [patience.next_pause_s(0) for _ in range(9)]
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_progress_begins_anew() -> None:
    patience = Patience(10, 0)
    for now_s in range(5):
        patience.next_pause_s(now_s)
    patience.progressed(9)
    assert patience.next_pause_s(18) == FIRST_PAUSE_S
    assert patience.next_pause_s(19) is None


@given(st.floats(0.01, 100))
def test_attempts_end_when_the_limit_is_reached_and_not_before(limit_s: float) -> None:
    patience, now_s = Patience(limit_s, 0), 0.0
    while (pause_s := patience.next_pause_s(now_s)) is not None:
        assert pause_s > 0
        now_s += pause_s
    assert abs(now_s - limit_s) < 1e-6
