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
