"""How often members speak to the centre."""

from pathlib import Path

import msgspec
import pytest

from aiperf.deploy.layouts import memory_layout
from aiperf.service.cadence import Cadence, cadence_of
from aiperf.service.heartbeats import SILENCE_LIMIT_NS
from aiperf.service.layout import Host, ServiceSeat, ServiceType
from aiperf.units import NS_PER_S


def cadence(workers: int, processors: int | None = None) -> Cadence:
    return cadence_of(
        memory_layout(run_id="r", workers=workers, processors=processors, artifact_dir=Path("/nowhere"), seed=1)
    )


@pytest.mark.parametrize("workers", [1, 8, 128])
def test_few_members_speak_as_often_as_the_live_view_can_use(workers):
    assert cadence(workers) == Cadence(0.1, 0.2, 1.0, 10.0)


@pytest.mark.parametrize("workers", [300, 1_000, 2_000])
def test_messages_a_second_do_not_grow_with_the_number_of_workers(workers):
    found = cadence(workers, workers)
    assert workers / found.return_interval_s <= 2_000 + 1e-6
    assert workers / found.column_interval_s <= 1_500
    assert 2 * workers / found.heartbeat_interval_s <= 1_500


def test_however_many_members_there_are_none_is_silent_for_long():
    found = cadence(100_000, 100_000)
    assert found[:3] == (1.0, 2.0, 3.0)
    assert 5 * found.heartbeat_interval_s * NS_PER_S <= SILENCE_LIMIT_NS


def test_record_processors_on_their_own_scale_speak_by_their_own_number():
    assert cadence(1_000, 250).column_interval_s == 0.25


def test_thousands_of_hosts_look_at_their_clocks_but_once_a_minute():
    hosts = [Host(f"worker-{n}", [ServiceSeat(f"worker-{n}", ServiceType.WORKER)]) for n in range(10_000)]
    layout = memory_layout(run_id="r", workers=1, processors=1, artifact_dir=Path("/nowhere"), seed=1)
    assert cadence_of(msgspec.structs.replace(layout, hosts=hosts)).clock_watch_interval_s == 60.0
