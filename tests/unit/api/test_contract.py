import msgspec
import pytest

from aiperf.api.contract import Event, RunInfo, event_from_json, event_to_json, run_from_json, run_to_json
from aiperf.wire.messages import Notice, Progress, RunFinished

PROGRESS = Progress(1, "profiling", 1.5, 5, 4, 1, 0, 5, 10, -1.0, 2.5, 3.5, {"a": {"avg": 1.0}}, {"tls": 1}, ["n"])
FINISHED = RunFinished(130, "interrupted", "by the user", "/a", "/a/s.json")


@pytest.mark.parametrize("message", [PROGRESS, FINISHED, Notice("text", lasting=True)])
def test_events_come_back_equal(message: Progress | Notice | RunFinished) -> None:
    assert event_from_json(event_to_json(Event(7, message))) == Event(7, message)


def test_events_are_objects_that_scripts_can_read() -> None:
    assert msgspec.json.decode(event_to_json(Event(3, Notice("text")))) == {
        "number": 3,
        "type": "Notice",
        "text": "text",
        "lasting": False,
    }


def test_a_heartbeat_is_no_event() -> None:
    assert event_from_json('{"type": "Heartbeat"}') is None


def test_what_a_later_version_adds_is_not_in_the_way() -> None:
    told = msgspec.json.decode(event_to_json(Event(1, FINISHED)))
    assert event_from_json(msgspec.json.encode({**told, "new": 1})) == Event(1, FINISHED)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type": "Exit", "number": 1}', '{"type": "Notice", "number": 1}'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        event_from_json(text)


@pytest.mark.parametrize(("progress", "finished"), [(None, None), (PROGRESS, None), (PROGRESS, FINISHED)])
def test_the_run_comes_back_equal(progress: Progress | None, finished: RunFinished | None) -> None:
    run = RunInfo("id", "profiling", {"load": {}}, progress, finished)
    assert run_from_json(run_to_json(run)) == run
