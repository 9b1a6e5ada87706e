"""The account's equations."""

from dataclasses import asdict

import pytest

from aiperf.schedule.ledger import Ledger

SOUND = Ledger(issued=15, completed=5, failed=4, cancelled=3, censored=2, lost=1, unsent=6, offered=21)


def test_a_sound_account_reconciles():
    assert SOUND.reconciles


@pytest.mark.parametrize("name", asdict(SOUND))
def test_an_account_in_which_any_number_is_off_does_not_reconcile(name):
    assert not Ledger(**{**asdict(SOUND), name: 99}).reconciles


@pytest.mark.parametrize(
    ("completed_records", "failed_records", "settled"),
    [
        (5, 4, (5, 4, 1)),  # as many as were returned: the lost one stays lost
        (6, 4, (6, 4, 0)),  # its record arrived
        (5, 5, (5, 5, 0)),  # ... and tells of a failure
        (3, 2, (5, 4, 1)),  # records were lost: what was returned stands
        (9, 9, (5, 5, 0)),  # never more than were lost
    ],
)
def test_lost_credits_whose_records_arrived_are_settled(completed_records, failed_records, settled):
    ledger = SOUND.settled(completed_records, failed_records)
    assert (ledger.completed, ledger.failed, ledger.lost) == settled
    assert ledger.reconciles
