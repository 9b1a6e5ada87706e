"""Slots that stood empty where no record tells of it."""

import pytest

from aiperf.service.slot_gaps import SlotGaps
from aiperf.wire.messages import CutPhase, EndCredits, PreparePhase, SetSlots

S = 1_000_000_000


def prepared(slots: int = 2, *, start_s: int = 10, stop_s: float = 20, ramp_s: int = 0) -> SlotGaps:
    gaps = SlotGaps()
    stop_ns = round(stop_s * S) if stop_s >= 0 else -1
    gaps.take(PreparePhase(1, 0, slots, ramp_s * S, start_s * S, stop_ns, -1), 9 * S)
    return gaps


def test_slots_that_are_filled_at_once_have_no_gap():
    gaps = prepared()
    for _ in range(2):
        gaps.first_dispatch(10 * S)
    assert gaps.empty_slot_s([21 * S, 22 * S]) == 0


def test_a_slot_is_empty_from_the_start_to_its_first_request():
    gaps = prepared()
    gaps.first_dispatch(11 * S)
    gaps.first_dispatch(13 * S)
    assert gaps.empty_slot_s([]) == 1 + 3


def test_a_ramp_opens_slots_one_after_the_other():
    gaps = prepared(4, ramp_s=4)
    for second in (10, 11, 12, 13.5):
        gaps.first_dispatch(round(second * S))
    assert gaps.empty_slot_s([]) == pytest.approx(0.5)


def test_a_slot_that_nobody_fills_again_is_empty_until_the_stop():
    assert prepared().empty_slot_s([18 * S, 21 * S]) == 2


def test_when_no_more_credits_come_no_load_is_wanted():
    gaps = prepared()
    gaps.take(EndCredits(1, 1), 19 * S)
    gaps.take(EndCredits(1, 2), 22 * S)
    assert gaps.empty_slot_s([18 * S]) == 1


def test_a_count_ends_with_its_last_credit():
    gaps = prepared(stop_s=-1)
    assert gaps.empty_slot_s([18 * S]) == 0
    gaps.take(CutPhase(1, 1, 30 * S), 19 * S)
    assert gaps.empty_slot_s([18 * S]) == 1


def test_more_requests_than_slots_are_no_slots_first():
    gaps = prepared(1)
    gaps.first_dispatch(10 * S)
    gaps.first_dispatch(19 * S)
    assert gaps.empty_slot_s([]) == 0


def test_lent_slots_are_not_missed_from_the_start():
    gaps = prepared()
    gaps.first_dispatch(11 * S)
    gaps.take(SetSlots(1, 1, 5), 12 * S)
    gaps.first_dispatch(15 * S)
    assert gaps.empty_slot_s([16 * S]) == 1


def test_without_a_cap_there_are_no_slots():
    gaps = prepared(-1)
    gaps.first_dispatch(15 * S)
    assert gaps.empty_slot_s([16 * S]) == 0


def test_each_phase_begins_anew():
    gaps = prepared()
    gaps.first_dispatch(13 * S)
    gaps.take(PreparePhase(1, 2, 1, 0, 30 * S, 40 * S, -1), 29 * S)
    assert gaps.empty_slot_s([]) == 0
