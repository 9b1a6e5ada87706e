import io

import msgspec
import pytest

from aiperf.ui.lines import LinesView
from aiperf.wire.messages import Progress

PROGRESS = Progress(
    phase=0, state="warmup", elapsed_s=1, sent_count=1, completed_count=1, failed_count=0, in_flight_count=0,
    offered_count=1, expected_count=10, expected_s=-1, request_rate=1, output_token_rate=1, statistics={}, errors={},
)  # fmt: skip


class Hand:
    """A clock moved by hand."""

    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Hand()


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def view(stream, clock):
    return LinesView(stream, clock)


def at(elapsed_s, **changes):
    return msgspec.structs.replace(PROGRESS, elapsed_s=elapsed_s, **changes)


def starts(stream):
    return [text.split("]")[0] + "]" for text in stream.getvalue().splitlines()]


def test_a_line_every_five_seconds(view, stream, clock):
    for second in range(12):
        view.show(at(second))
        clock.now_s += 1
    assert starts(stream) == ["[0:00]", "[0:05]", "[0:10]"]


def test_a_new_state_or_phase_has_its_line_at_once(view, stream):
    view.show(at(0))
    view.show(at(1, state="draining"))
    view.show(at(2, state="draining", phase=1))
    view.show(at(3, state="draining", phase=1))
    assert starts(stream) == ["[0:00]", "[0:01]", "[0:02]"]


def test_the_last_word_is_written_when_it_closes(view, stream):
    view.show(at(0))
    view.show(at(3))
    view.close()
    view.close()
    assert starts(stream) == ["[0:00]", "[0:03]"]


def test_a_notice_is_written_at_once_and_once(view, stream):
    view.notice("mind the gap")
    view.show(at(0, notices=["mind the gap", "another"]))
    view.show(at(1, notices=["mind the gap", "another"]))
    assert stream.getvalue().splitlines()[:2] == ["mind the gap", "another"]
    assert len(stream.getvalue().splitlines()) == 3


def test_a_closed_stream_silences_it(view, stream):
    stream.close()
    view.show(at(0))
    view.notice("nobody hears this")
    view.close()


def test_a_broken_pipe_silences_it():
    class Pipe(io.StringIO):
        writes = 0

        def write(self, text):
            self.writes += 1
            raise BrokenPipeError

    pipe = Pipe()
    view = LinesView(pipe)
    view.notice("one")
    view.notice("two")
    assert pipe.writes == 1
