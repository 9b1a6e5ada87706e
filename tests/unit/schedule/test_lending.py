"""The rule by which slots move."""

from hypothesis import given
from hypothesis import strategies as st

from aiperf.schedule.hands import Hand
from aiperf.schedule.ledger import CreditReturn
from aiperf.schedule.lending import give_free_slots, level_free_slots, take_idle_slots


def hand(slots, *, held=None, limit=100, idle=0, overdue=0, settled=True):
    return Hand(
        "w", limit, slots, slots if held is None else held, idle_slots=idle, overdue=overdue, settled=settled
    )  # fmt: skip


def test_free_slots_go_to_those_who_wait():
    assert give_free_slots(10, [hand(4, idle=1), hand(4, overdue=3)]) == {1: 6}


def test_free_slots_nobody_waits_for_are_spread_evenly():
    assert give_free_slots(12, [hand(4), hand(4)]) == {0: 6, 1: 6}


def test_free_slots_nobody_waits_for_are_kept_while_orders_are_under_way():
    assert give_free_slots(12, [hand(4), hand(4, settled=False)]) == {}


def test_a_slot_asked_back_is_not_free_until_its_holder_has_let_go():
    lender = hand(2, held=4, settled=False)
    assert give_free_slots(8, [lender, hand(4, overdue=5)]) == {}
    lender.book(CreditReturn(in_flight=3, idle_slots=1), 1)
    assert give_free_slots(8, [lender, hand(4, overdue=5)]) == {}
    lender.book(CreditReturn(in_flight=2, idle_slots=0), 2)
    assert give_free_slots(8, [lender, hand(4, overdue=5)]) == {1: 6}


def test_half_of_the_idle_slots_are_lent_and_one_is_always_kept():
    waiting = hand(4, overdue=50)
    assert take_idle_slots(14, [hand(10, idle=5), waiting]) == {0: 7}
    assert take_idle_slots(6, [hand(2, idle=2), waiting]) == {0: 1}
    assert take_idle_slots(5, [hand(1, idle=1), waiting]) == {}


def test_no_more_is_taken_than_is_wanted():
    assert take_idle_slots(24, [hand(20, idle=20), hand(4, overdue=2)]) == {0: 18}
    coming_back = hand(18, held=20, idle=18, settled=False)
    assert take_idle_slots(40, [coming_back, hand(16, idle=16), hand(4, overdue=2)]) == {}


def test_nothing_is_taken_for_a_worker_that_can_hold_no_more():
    assert take_idle_slots(8, [hand(4, idle=4), hand(4, limit=4, overdue=9)]) == {}


def test_who_waits_for_slots_lends_none():
    assert take_idle_slots(8, [hand(4, idle=2, overdue=1), hand(4, overdue=9)]) == {}


hands = st.lists(
    st.builds(
        hand, st.integers(1, 30), idle=st.integers(0, 30), overdue=st.integers(0, 60), settled=st.booleans()
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


@given(hands, st.integers(0, 40))
def test_the_sum_of_slots_never_exceeds_the_total(holders, free):
    total = sum(holder.slots_held for holder in holders) + free
    for position, slots in give_free_slots(total, holders).items():
        assert holders[position].slots < slots <= holders[position].slots_max
        holders[position].order_slots(slots)
    assert sum(holder.slots_held for holder in holders) <= total
    for position, slots in take_idle_slots(total, holders).items():
        assert 1 <= slots < holders[position].slots
        holders[position].order_slots(slots)
    assert sum(holder.slots_held for holder in holders) <= total


def test_where_all_slots_are_in_use_free_ones_go_to_who_has_fewest():
    assert level_free_slots(12, [hand(4), hand(4), hand(0)]) == {2: 4}
    assert level_free_slots(14, [hand(4), hand(4), hand(0)]) == {0: 5, 1: 5, 2: 4}
    assert level_free_slots(12, [hand(5), hand(2, limit=3), hand(1)]) == {1: 3, 2: 4}


def test_what_is_meant_for_a_hand_whose_order_is_unconfirmed_waits_for_it():
    assert level_free_slots(12, [hand(4), hand(4), hand(2, settled=False)]) == {}
    assert level_free_slots(16, [hand(4), hand(4), hand(2, settled=False)]) == {0: 6, 1: 5}


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), min_size=1, max_size=6), st.integers(0, 60)
)
def test_levelling_exceeds_neither_the_total_nor_a_limit_and_leaves_nothing_that_could_be_held(holders, total):
    hands = [hand(slots, limit=slots + room, settled=settled) for slots, room, settled in holders]
    after = [level_free_slots(total, hands).get(position, each.slots) for position, each in enumerate(hands)]
    assert sum(after) <= max(total, sum(each.slots for each in hands))
    assert all(each.slots <= slots <= each.slots_max for each, slots in zip(hands, after, strict=True))
    if all(each.settled for each in hands):
        assert sum(after) == max(sum(each.slots for each in hands), min(total, sum(each.slots_max for each in hands)))
