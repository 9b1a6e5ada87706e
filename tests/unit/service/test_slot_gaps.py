"""Slots that stood empty where no record tells of it."""

import pytest

from aiperf.service.slot_gaps import SlotGaps
from aiperf.wire.messages import CutPhase, EndCredits, PreparePhase, SetSlots

S = 1_000_000_000


def prepared(slots: int = 2, *, stop_s: float = 20, ramp_s: int = 0, closed_loop: bool = True) -> SlotGaps:
    gaps = SlotGaps()
    stop_ns = round(stop_s * S) if stop_s >= 0 else -1
    gaps.take(PreparePhase(1, 0, slots, ramp_s * S, 10 * S, stop_ns, -1, closed_loop), 9 * S)
    return gaps


def test_slots_that_are_filled_at_once_have_no_gap():
    gaps = prepared()
    for _ in range(2):
        gaps.first_dispatch(10 * S)
    assert gaps.empty_slot_s([21 * S, 22 * S], 99 * S) == 0


def test_a_slot_is_empty_from_the_start_to_its_first_request():
    gaps = prepared()
    gaps.first_dispatch(11 * S)
    gaps.first_dispatch(13 * S)
    assert gaps.empty_slot_s([], 99 * S) == 1 + 3


def test_a_ramp_opens_slots_one_after_the_other():
    gaps = prepared(4, ramp_s=4)
    for second in (10, 11, 12, 13.5):
        gaps.first_dispatch(round(second * S))
    assert gaps.empty_slot_s([], 99 * S) == pytest.approx(0.5)


def test_a_slot_that_nobody_fills_again_is_empty_until_the_stop():
    gaps = prepared()
    for _ in range(2):
        gaps.first_dispatch(10 * S)
    assert gaps.empty_slot_s([18 * S, 21 * S], 99 * S) == 2


def test_when_no_more_credits_come_no_load_is_wanted():
    gaps = prepared()
    for _ in range(2):
        gaps.first_dispatch(10 * S)
    gaps.take(EndCredits(1, 1), 19 * S)
    gaps.take(EndCredits(1, 2), 22 * S)
    assert gaps.empty_slot_s([18 * S], 99 * S) == 1


def test_a_count_ends_with_its_last_credit():
    gaps = prepared(stop_s=-1)
    for _ in range(2):
        gaps.first_dispatch(10 * S)
    assert gaps.empty_slot_s([18 * S], 99 * S) == 0
    gaps.take(CutPhase(1, 1, 30 * S), 19 * S)
    assert gaps.empty_slot_s([18 * S], 99 * S) == 1


def test_more_requests_than_slots_are_no_slots_first():
    gaps = prepared(1)
    gaps.first_dispatch(10 * S)
    gaps.first_dispatch(19 * S)
    assert gaps.empty_slot_s([], 99 * S) == 0


def test_slots_that_are_added_are_missed_from_then_on():
    gaps = prepared()
    gaps.first_dispatch(11 * S)
    gaps.take(SetSlots(1, 1, 4), 12 * S)
    gaps.first_dispatch(15 * S)
    gaps.first_dispatch(13 * S)
    assert gaps.empty_slot_s([], 99 * S) == 1 + 2 + 3 + 1 + 8, "the fourth had none from 12 to 20"


def test_once_slots_are_taken_away_nothing_more_is_missed():
    gaps = prepared()
    gaps.take(SetSlots(1, 1, 1), 12 * S)
    gaps.first_dispatch(15 * S)
    assert gaps.empty_slot_s([16 * S], 99 * S) == 2 + 2


def test_slots_that_never_get_a_request_are_empty_all_the_time():
    gaps = prepared(100)
    for _ in range(80):
        gaps.first_dispatch(10 * S)
    assert gaps.empty_slot_s([], 99 * S) == 20 * 10
    assert gaps.empty_slot_s([], 12 * S) == 20 * 2, "so far"


def test_a_slot_without_any_request_is_empty_from_when_the_ramp_opens_it():
    assert prepared(4, ramp_s=4).empty_slot_s([], 99 * S) == 10 + 9 + 8 + 7


def test_at_a_rate_no_slot_has_to_be_full():
    assert prepared(closed_loop=False).empty_slot_s([], 99 * S) == 0


def test_without_a_cap_there_are_no_slots():
    gaps = prepared(-1)
    gaps.first_dispatch(15 * S)
    assert gaps.empty_slot_s([16 * S], 99 * S) == 0


def test_each_phase_begins_anew():
    gaps = prepared()
    gaps.first_dispatch(13 * S)
    gaps.take(PreparePhase(1, 2, 1, 0, 30 * S, 40 * S, -1, True), 29 * S)
    gaps.first_dispatch(30 * S)
    assert gaps.empty_slot_s([], 99 * S) == 0
