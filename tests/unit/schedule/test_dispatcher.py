"""The worker's hand of credits and its slots."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.schedule.dispatcher import Dispatcher
from aiperf.schedule.ledger import CreditReturn

COMPLETED, FAILED, CANCELLED, CENSORED = range(4)


def int64(*values):
    return np.array(values, np.int64).tobytes()


def ready(slots=-1, start_ns=0, stop_ns=-1, slots_max=-1):
    dispatcher = Dispatcher(slots_max)
    dispatcher.prepare(slots, start_ns, stop_ns)
    return dispatcher


def take_all(dispatcher, now_ns):
    return list(iter(lambda: dispatcher.next(now_ns), -1))


def test_nothing_is_dispatched_before_a_phase_is_prepared():
    dispatcher = Dispatcher()
    dispatcher.add(int64(0))
    assert dispatcher.next(10**18) == -1


def test_closed_loop_keeps_the_slots_full_in_order():
    dispatcher = ready(slots=2)
    dispatcher.add(int64(4, 5, 6))
    assert take_all(dispatcher, 0) == [4, 5]
    assert dispatcher.last_due_ns == -1
    dispatcher.finished(COMPLETED)
    assert take_all(dispatcher, 0) == [6]


def test_open_loop_dispatches_each_credit_when_it_is_due():
    dispatcher = ready()
    dispatcher.add(int64(0, 1, 2), int64(10, 20, 30))
    assert take_all(dispatcher, 9) == []
    assert take_all(dispatcher, 10) == [0]
    assert dispatcher.last_due_ns == 10
    assert take_all(dispatcher, 35) == [1, 2]
    assert dispatcher.last_due_ns == 30


def test_a_ramp_opens_one_slot_after_the_other():
    dispatcher = Dispatcher()
    dispatcher.prepare(4, start_ns=1000, stop_ns=-1, ramp_ns=400)
    dispatcher.add(int64(*range(6)))
    assert dispatcher.wake_ns() == 1000
    assert take_all(dispatcher, 1000) == [0]
    assert dispatcher.wake_ns() == 1100
    assert take_all(dispatcher, 1099) == []
    assert take_all(dispatcher, 1250) == [1, 2]
    assert dispatcher.wake_ns() == 1300
    assert take_all(dispatcher, 5000) == [3]
    assert dispatcher.wake_ns() == -1


def test_on_a_ramp_a_slot_that_is_open_is_refilled_at_once():
    dispatcher = Dispatcher()
    dispatcher.prepare(4, start_ns=0, stop_ns=-1, ramp_ns=400)
    dispatcher.add(int64(*range(6)))
    assert take_all(dispatcher, 150) == [0, 1]
    dispatcher.finished(COMPLETED)
    assert take_all(dispatcher, 160) == [2]
    assert take_all(dispatcher, 199) == []


def test_on_a_ramp_a_credit_also_waits_until_it_is_due():
    dispatcher = Dispatcher()
    dispatcher.prepare(2, start_ns=0, stop_ns=-1, ramp_ns=100)
    dispatcher.add(int64(0, 1), int64(70, 80))
    assert dispatcher.wake_ns() == 70
    assert take_all(dispatcher, 60) == []
    assert take_all(dispatcher, 90) == [0, 1]


def test_nothing_is_dispatched_before_the_start_nor_from_the_stop_on():
    dispatcher = ready(start_ns=100, stop_ns=200)
    dispatcher.add(int64(0, 1))
    assert dispatcher.next(99) == -1
    assert dispatcher.next(100) == 0
    assert dispatcher.next(200) == -1
    assert dispatcher.next(199) == 1


def test_wake_is_the_due_instant_but_not_before_the_start():
    dispatcher = ready(start_ns=100, stop_ns=200)
    assert dispatcher.wake_ns() == -1, "nothing in hand"
    dispatcher.add(int64(0, 1, 2), int64(50, 150, 200))
    assert dispatcher.wake_ns() == 100
    dispatcher.next(100)
    assert dispatcher.wake_ns() == 150
    dispatcher.next(150)
    assert dispatcher.wake_ns() == -1, "due at the stop: never"


def test_wake_is_not_by_time_while_all_slots_are_taken():
    dispatcher = ready(slots=1)
    dispatcher.add(int64(0, 1), int64(10, 20))
    dispatcher.next(10)
    assert dispatcher.wake_ns() == -1
    dispatcher.finished(FAILED)
    assert dispatcher.wake_ns() == 20


def test_the_file_limit_holds_whatever_the_slots():
    dispatcher = ready(slots=-1, slots_max=2)
    dispatcher.add(int64(*range(5)), int64(*[0] * 5))
    assert take_all(dispatcher, 7) == [0, 1]
    assert dispatcher.take_returns(7).overdue == 3
    dispatcher.set_slots(4)
    assert dispatcher.next(7) == -1


def test_a_lowered_number_of_slots_is_reached_as_requests_end():
    dispatcher = ready(slots=3)
    dispatcher.add(int64(*range(9)))
    take_all(dispatcher, 0)
    dispatcher.set_slots(1)
    assert shown_slots(dispatcher) == 3
    for expected in (2, 1):
        dispatcher.finished(COMPLETED)
        assert dispatcher.next(0) == -1
        assert shown_slots(dispatcher) == expected
    dispatcher.finished(COMPLETED)
    assert dispatcher.next(0) == 3


def shown_slots(dispatcher):
    report = dispatcher.take_returns(0)
    return report.in_flight + report.idle_slots


def test_returns_count_each_end_once():
    dispatcher = ready(slots=9)
    dispatcher.add(int64(*range(6)), int64(0, 0, 0, 0, 50, 60))
    take_all(dispatcher, 10)
    for outcome in (COMPLETED, COMPLETED, FAILED, CENSORED):
        dispatcher.finished(outcome)
    assert dispatcher.take_returns(55) == CreditReturn(
        completed=2, failed=1, censored=1, queued=2, overdue=1, in_flight=0, idle_slots=9
    )
    assert dispatcher.take_returns(55).ended_count == 0


@given(st.lists(st.integers(0, 50), max_size=40).map(sorted), st.integers(0, 50))
def test_overdue_counts_the_credits_in_hand_that_are_due(due_ns, now_ns):
    dispatcher = ready(slots=0)
    dispatcher.add(int64(*range(len(due_ns))), int64(*due_ns))
    assert dispatcher.take_returns(now_ns).overdue == sum(due <= now_ns for due in due_ns)


def test_drained_means_empty_and_idle_and_nothing_to_come():
    dispatcher = ready(slots=1)
    dispatcher.add(int64(0))
    assert not dispatcher.take_returns(0).drained
    dispatcher.next(0)
    dispatcher.end_credits()
    assert not dispatcher.take_returns(0).drained
    dispatcher.finished(CANCELLED)
    assert dispatcher.take_returns(0).drained


def test_a_stop_hands_back_what_is_in_hand_once():
    dispatcher = ready(slots=1)
    dispatcher.add(int64(0, 1, 2))
    dispatcher.next(0)
    assert dispatcher.stop() == int64(1, 2)
    assert dispatcher.stop() == b""
    assert dispatcher.take_returns(0).unused == b""
    assert dispatcher.in_flight == 1


def test_credits_that_cross_the_stop_go_back_with_the_next_return():
    dispatcher = ready(slots=1)
    dispatcher.stop()
    dispatcher.add(int64(7, 8))
    assert dispatcher.next(0) == -1
    assert dispatcher.wake_ns() == -1
    assert dispatcher.take_returns(0).unused == int64(7, 8)
    assert dispatcher.take_returns(0).unused == b""


def test_a_return_at_the_stop_instant_hands_back_what_is_in_hand():
    dispatcher = ready(slots=1, stop_ns=100)
    dispatcher.add(int64(7))
    assert dispatcher.take_returns(99).unused == b""
    assert dispatcher.take_returns(100).unused == int64(7)


def test_a_new_phase_begins_with_an_empty_hand():
    dispatcher = ready(slots=1, stop_ns=5)
    dispatcher.add(int64(1, 2))
    dispatcher.next(0)
    dispatcher.end_credits()
    dispatcher.stop()
    dispatcher.prepare(2, 0, -1)
    assert (dispatcher.queued, dispatcher.in_flight) == (0, 0)
    assert dispatcher.take_returns(0) == CreditReturn(idle_slots=2)
    dispatcher.add(int64(3))
    assert dispatcher.next(0) == 3


def test_a_worker_starves_when_a_slot_is_idle_and_more_credits_may_come():
    dispatcher = ready(slots=1)
    assert dispatcher.starved
    dispatcher.add(int64(0))
    assert not dispatcher.starved, "there is one in hand"
    dispatcher.next(0)
    assert not dispatcher.starved, "the slot is taken"
    dispatcher.finished(COMPLETED)
    assert dispatcher.starved
    dispatcher.end_credits()
    assert not dispatcher.starved


def test_unlimited_slots_are_shown_as_such():
    assert ready(slots=-1).take_returns(0).idle_slots == -1


@pytest.mark.parametrize("due_ns", [int64(1), int64(1, 2, 3)])
def test_credits_and_due_instants_must_match(due_ns):
    with pytest.raises(ValueError, match="2 credits with"):
        ready().add(int64(0, 1), due_ns)


def test_a_phase_does_not_mix_credits_with_and_without_due_instants():
    dispatcher = ready()
    dispatcher.add(int64(0), int64(5))
    with pytest.raises(ValueError, match="in one phase"):
        dispatcher.add(int64(1))


def test_a_worker_is_drained_when_nothing_is_left_and_nothing_will_come():
    dispatcher = ready(slots=1)
    dispatcher.add(int64(0))
    assert take_all(dispatcher, 0) == [0]
    dispatcher.end_credits()
    assert not dispatcher.drained
    dispatcher.finished(COMPLETED)
    assert dispatcher.drained


def starved_slots(dispatcher: Dispatcher, now_ns: int) -> int:
    """How many starve at this instant."""
    return dispatcher.starved_slots().slot_ns(now_ns, now_ns + 1)


def test_slots_starve_while_they_are_open_and_no_credit_is_in_hand():
    dispatcher = ready(slots=3, start_ns=10, stop_ns=90)
    assert starved_slots(dispatcher, 9) == 0, "not begun"
    assert starved_slots(dispatcher, 10) == 3
    dispatcher.add(int64(0, 1))
    assert starved_slots(dispatcher, 10) == 0, "some are in hand"
    take_all(dispatcher, 10)
    assert starved_slots(dispatcher, 20) == 1
    dispatcher.finished(COMPLETED)
    assert starved_slots(dispatcher, 30) == 2
    assert starved_slots(dispatcher, 90) == 0, "the phase has stopped"
    dispatcher.end_credits()
    assert starved_slots(dispatcher, 40) == 0, "none will come"


def test_a_slot_that_the_ramp_has_not_opened_does_not_starve():
    dispatcher = Dispatcher()
    dispatcher.prepare(4, 0, -1, ramp_ns=40)
    assert [starved_slots(dispatcher, instant) for instant in (0, 9, 10, 35, 100)] == [1, 1, 2, 4, 4]
