"""The book on one worker."""

import numpy as np

from aiperf.schedule.hands import Hand
from aiperf.schedule.ledger import CreditReturn

MS = 1_000_000


def test_outstanding_credits_are_those_given_and_not_returned():
    hand = Hand("w", 10, 4, 4, given=9)
    hand.book(CreditReturn(completed=2, failed=1, unused=np.array([7, 8], np.int64).tobytes()), 0)
    assert hand.outstanding == 4


def test_a_hand_that_handed_credits_back_has_stopped_for_good():
    hand = Hand("w", 10, 4, 4, given=9)
    hand.book(CreditReturn(unused=np.array([7], np.int64).tobytes()), 0)
    hand.book(CreditReturn(in_flight=4), 0)
    assert hand.stopped
    assert not hand.movable


def test_a_raise_is_confirmed_only_by_the_number_ordered():
    hand = Hand("w", 10, 4, 4)
    hand.order_slots(7)
    assert hand.slots_held == 7, "it may use them from the moment the order leaves"
    hand.book(CreditReturn(in_flight=4), 0)
    assert not hand.settled
    hand.book(CreditReturn(in_flight=5, idle_slots=2), 0)
    assert hand.settled


def test_use_is_measured_over_a_window_however_often_returns_come():
    hand = Hand("w", 10, 4, 4)
    for instant_ms in range(0, 1001, 5):
        hand.book(CreditReturn(completed=1), instant_ms * MS)
        assert hand.used_per_s in (0, 200)
    assert hand.used_per_s == 200
