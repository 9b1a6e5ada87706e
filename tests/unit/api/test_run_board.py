import asyncio

from hypothesis import given
from hypothesis import strategies as st

from aiperf.api.contract import Told
from aiperf.api.run_board import NOTICES_KEPT, RunBoard
from aiperf.wire.messages import Notice, Progress, RunFinished

FINISHED = RunFinished(0, "completed", "", "", "")


def progress(completed: int, state: str = "profiling") -> Progress:
    return Progress(1, state, 0.0, 0, completed, 0, 0, 0, -1, -1.0, 0.0, 0.0, {}, {})


def test_the_state_follows_the_run() -> None:
    board = RunBoard("run", {"a": 1})
    states = [board.info().state]
    for message in (progress(1), progress(2, "draining"), FINISHED):
        board.tell(message)
        states.append(board.info().state)
    assert states == ["starting", "profiling", "draining", "over"]
    assert board.info().progress == progress(2, "draining")
    assert board.info().finished == FINISHED
    assert board.is_over


def test_after_the_end_nothing_more_is_told() -> None:
    board = RunBoard("run", {})
    for message in (FINISHED, progress(1), FINISHED):
        board.tell(message)
    assert [event.message for event in board.news()] == [FINISHED]


@given(
    st.lists(st.one_of(st.builds(Notice, st.text()), st.integers(0, 99).map(progress)), max_size=30),
    st.lists(st.booleans(), min_size=31, max_size=31),
)
def test_however_slow_a_watcher_hears_every_notice_in_order_and_the_last_progress(
    messages: list[Told], reads: list[bool]
) -> None:
    board = RunBoard("run", {})
    heard: list[Told] = []
    after = 0
    for message, reads_now in zip([*messages, FINISHED], reads, strict=False):
        board.tell(message)
        if reads_now:
            news = board.news(after)
            heard += [event.message for event in news]
            after = news[-1].number if news else after
    heard += [event.message for event in board.news(after)]
    assert [told for told in heard if isinstance(told, Notice)] == [m for m in messages if isinstance(m, Notice)]
    assert heard[-1] == FINISHED
    assert heard.count(FINISHED) == 1
    told_progress = [told for told in messages if isinstance(told, Progress)]
    assert [told for told in heard if isinstance(told, Progress)][-1:] == told_progress[-1:]


def test_memory_is_bounded_by_the_notices_kept() -> None:
    board = RunBoard("run", {})
    for number in range(2 * NOTICES_KEPT):
        board.tell(Notice(str(number)))
        board.tell(progress(number))
    assert len(board.news()) == NOTICES_KEPT + 1


async def test_a_change_wakes_everybody_who_waits() -> None:
    board = RunBoard("run", {})
    waiting = [asyncio.create_task(board.change()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    board.tell(FINISHED)
    await asyncio.gather(*waiting)
