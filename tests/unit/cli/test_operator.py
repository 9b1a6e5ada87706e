"""What a person is told while a run goes on, by a line and a manager that are doubles."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from aiperf.cli.operator import Operator
from aiperf.deploy.layouts import kubernetes_layout
from aiperf.deploy.line import ResultsStayError
from aiperf.deploy.service_manager import HostEnded
from aiperf.errors import ExitCode
from aiperf.wire.messages import AnyMessage, Notice, Progress, RunFinished

FINISHED = RunFinished(ExitCode.DONE, "completed", "", "", "")


class Manager:
    """Its hosts end in the order given; `told` is set when that was taken in."""

    outlives_operator = True

    def __init__(self, *ends: HostEnded) -> None:
        self._ends = list(ends)
        self.told = asyncio.Event()
        self.stopped = False

    async def start(self) -> None: ...

    async def next_end(self) -> HostEnded:
        if self._ends:
            return self._ends.pop(0)
        self.told.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def stop(self, grace_s: float) -> None:
        self.stopped = True


class Line:
    def __init__(self, manager: Manager, *messages: AnyMessage) -> None:
        self._manager = manager
        self._messages = list(messages)

    async def open(self) -> None:
        await self._manager.told.wait()

    async def receive(self) -> AnyMessage:
        return self._messages.pop(0)

    def stop(self, *, now: bool) -> bool:
        return True

    def tell_loss(self, host_id: str, reason: str) -> None: ...

    async def bring_home(self, finished: RunFinished) -> RunFinished:
        return finished

    async def close(self) -> None: ...


class View:
    def __init__(self) -> None:
        self.said: list[str] = []

    def show(self, progress: Progress) -> None:
        self.said += progress.notices

    def notice(self, text: str) -> None:
        self.said.append(text)

    def close(self) -> None: ...


def progress(*notices: str) -> Progress:
    return Progress(1, "profiling", 1.0, 1, 1, 0, 0, 1, 1, -1, 1.0, 1.0, {}, {}, list(notices))


async def test_a_loss_is_told_once_in_the_words_that_came_first():
    layout = kubernetes_layout(run_id="r", topology="compact", workers=2, processors=2, seed=1)
    manager, view = Manager(HostEnded("worker-1", "killed: out of memory", expected=False)), View()
    line = Line(
        manager,
        Notice("worker-1 was lost while starting: no sign of life for 15 s"),
        progress("worker-1 was lost: no sign of life for 15 s", "worker-0 was lost: evicted"),
        Notice("something else"),
        FINISHED,
    )
    assert await Operator(layout, manager, line, view, logs=str(Path("log"))).run() == FINISHED
    assert view.said == [
        "worker-1 was lost: killed: out of memory",
        "worker-0 was lost: evicted",
        "something else",
    ]


async def test_a_run_whose_results_cannot_be_written_here_is_not_removed():
    class FullDisk(Line):
        async def bring_home(self, finished: RunFinished) -> RunFinished:
            raise ResultsStayError("the disk is full")

    layout = kubernetes_layout(run_id="r", topology="compact", workers=1, processors=1, seed=1)
    for kind, stopped in ((FullDisk, False), (Line, True)):
        manager = Manager()
        operator = Operator(layout, manager, kind(manager, FINISHED), View(), logs="log")
        with contextlib.suppress(ResultsStayError) if stopped else pytest.raises(ResultsStayError, match="full"):
            await operator.run()
        assert manager.stopped is stopped
