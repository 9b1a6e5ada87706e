"""How often members speak to the centre."""

from pathlib import Path

import msgspec
import pytest

from aiperf.deploy.layouts import memory_layout
from aiperf.service.cadence import Cadence, cadence_of, latecomers_interval_s
from aiperf.service.layout import Host, ServiceSeat, ServiceType


def cadence(workers: int, processors: int | None = None) -> Cadence:
    return cadence_of(
        memory_layout(run_id="r", workers=workers, processors=processors, artifact_dir=Path("/nowhere"), seed=1)
    )


@pytest.mark.parametrize("workers", [1, 8, 120])
def test_few_members_speak_as_often_as_the_live_view_can_use(workers):
    assert cadence(workers) == Cadence(0.1, 0.2, 1.0, 10.0, 1.0, 15.0, 64, 0.0)


@pytest.mark.parametrize("workers", [300, 1_000, 2_000])
def test_messages_a_second_do_not_grow_with_the_number_of_workers(workers):
    found = cadence(workers, workers)
    assert workers / found.return_interval_s <= 2_000 + 1e-6
    assert workers / found.column_interval_s <= 1_500
    assert 2 * workers / found.heartbeat_interval_s <= 1_000
    assert workers * found.column_queue <= 8_000


def test_however_many_members_there_are_none_is_silent_for_long():
    found = cadence(100_000, 100_000)
    assert found[:3] == (1.0, 2.0, 6.0)
    assert found.silence_limit_s == 5 * found.heartbeat_interval_s == 30.0


def test_record_processors_on_their_own_scale_speak_by_their_own_number():
    assert cadence(1_000, 250).column_interval_s == 0.25


@pytest.mark.parametrize("workers", [300, 1_000, 2_000])
def test_five_heartbeats_may_be_missed_whatever_their_interval(workers):
    found = cadence(workers, workers)
    assert 5 * found.heartbeat_interval_s <= found.silence_limit_s <= 30


def test_thousands_of_hosts_look_at_their_clocks_but_every_two_minutes_and_relay_logs_every_few_seconds():
    hosts = [Host(f"worker-{n}", [ServiceSeat(f"worker-{n}", ServiceType.WORKER)]) for n in range(10_000)]
    layout = memory_layout(run_id="r", workers=1, processors=1, artifact_dir=Path("/nowhere"), seed=1)
    found = cadence_of(msgspec.structs.replace(layout, hosts=hosts))
    assert (found.clock_watch_interval_s, found.log_interval_s) == (120.0, 4.0)


def test_the_more_latecomers_the_more_seldom_each_is_tried():
    assert (latecomers_interval_s(3), latecomers_interval_s(4_000)) == (0.02, 4.0)
