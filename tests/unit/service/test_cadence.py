"""How often members speak to the centre."""

from pathlib import Path

import pytest

from aiperf.deploy.layouts import memory_layout
from aiperf.service.cadence import Cadence, cadence_of
from aiperf.service.heartbeats import SILENCE_LIMIT_NS
from aiperf.units import NS_PER_S


def cadence(workers: int, processors: int | None = None) -> Cadence:
    return cadence_of(
        memory_layout(run_id="r", workers=workers, processors=processors, artifact_dir=Path("/nowhere"), seed=1)
    )


@pytest.mark.parametrize("workers", [1, 8, 128])
def test_few_members_speak_as_often_as_the_live_view_can_use(workers):
    assert cadence(workers) == Cadence(return_interval_s=0.1, column_interval_s=0.2, heartbeat_interval_s=1.0)


@pytest.mark.parametrize("workers", [300, 1_000, 2_000])
def test_messages_a_second_do_not_grow_with_the_number_of_workers(workers):
    found = cadence(workers, workers)
    assert workers / found.return_interval_s <= 2_000 + 1e-6
    assert workers / found.column_interval_s <= 1_500
    assert 2 * workers / found.heartbeat_interval_s <= 1_500


def test_however_many_members_there_are_none_is_silent_for_long():
    found = cadence(100_000, 100_000)
    assert found == Cadence(return_interval_s=1.0, column_interval_s=2.0, heartbeat_interval_s=3.0)
    assert 5 * found.heartbeat_interval_s * NS_PER_S <= SILENCE_LIMIT_NS


def test_record_processors_on_their_own_scale_speak_by_their_own_number():
    assert cadence(1_000, 250).column_interval_s == 0.25
