"""When a start is told, and when it is given up."""

from dataclasses import replace

import pytest

from aiperf.deploy.kubernetes.pod_state import PodState
from aiperf.deploy.kubernetes.startup import (
    CREATION_PATIENCE_S,
    FATAL_PATIENCE_S,
    PULL_PATIENCE_S,
    QUIET_S,
    TELL_INTERVAL_S,
    StartupWatch,
)
from aiperf.errors import ClusterError

WAITING = PodState("x-worker-0", "worker", 0, "Pending", False, "its image is being pulled")
PULLING = replace(WAITING, trouble="image x cannot be pulled: its registry cannot be reached")


def test_a_start_that_goes_well_is_not_commented() -> None:
    watch = StartupWatch(1)
    assert watch.look([WAITING], None, 0) == []
    assert watch.look([WAITING], None, QUIET_S - 0.1) == []
    assert not watch.wants_events(QUIET_S - 0.1)


def test_a_slow_one_is_told_once_as_long_as_nothing_changes() -> None:
    watch = StartupWatch(2)
    watch.look([WAITING], None, 0)
    (line,) = watch.look([WAITING], None, QUIET_S)
    assert "0 of 2 pods ready" in line
    assert "worker-0: its image is being pulled" in line
    assert watch.look([WAITING], None, QUIET_S + TELL_INTERVAL_S) == []
    assert watch.look([replace(WAITING, trouble="its services start")], None, QUIET_S + TELL_INTERVAL_S) != []


def test_once_the_run_has_begun_nothing_more_is_told() -> None:
    watch = StartupWatch(1)
    watch.look([WAITING], None, 0)
    watch.begun()
    assert watch.look([WAITING], None, QUIET_S) == []


def test_a_pod_that_cannot_be_made_is_the_end_also_when_the_controller_answers() -> None:
    watch = StartupWatch(2, needs_all=True)
    events = [{"reason": "FailedCreate", "message": "pods x is forbidden: exceeded quota: small, used: pods=1"}]
    watch.look([WAITING], events, 0)
    watch.begun()
    assert watch.look([WAITING], events, QUIET_S) == []
    with pytest.raises(ClusterError, match="quota is used up"):
        watch.look([WAITING], None, CREATION_PATIENCE_S)


def test_a_start_is_over_when_the_controller_answers_and_no_pod_is_missing() -> None:
    watch = StartupWatch(2, needs_all=True)
    watch.begun()
    watch.look([WAITING], None, 0)
    assert not watch.over
    watch.look([WAITING, WAITING], None, 1)
    assert watch.over


def test_what_is_hopeless_is_given_up_when_it_is_seen_again() -> None:
    watch = StartupWatch(1)
    hopeless = replace(WAITING, trouble="'x y' is no name of an image (--image)", fatal=True)
    watch.look([hopeless], None, 0)
    with pytest.raises(ClusterError, match="worker-0: 'x y' is no name of an image"):
        watch.look([hopeless], None, FATAL_PATIENCE_S)


def test_patience_begins_anew_when_the_trouble_goes() -> None:
    watch = StartupWatch(1)
    watch.look([PULLING], None, 0)
    watch.look([WAITING], None, PULL_PATIENCE_S - 1)
    watch.look([PULLING], None, PULL_PATIENCE_S + 1)
    with pytest.raises(ClusterError, match="cannot be pulled"):
        watch.look([PULLING], None, 2 * PULL_PATIENCE_S + 1)


def test_pods_that_cannot_be_made_end_the_start() -> None:
    watch = StartupWatch(1)
    events = [{"reason": "FailedCreate", "message": "pods x is forbidden: exceeded quota: small, used: pods=1"}]
    watch.look([], events, 0)
    with pytest.raises(ClusterError, match="quota is used up"):
        watch.look([], None, CREATION_PATIENCE_S)
