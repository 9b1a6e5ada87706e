"""The run as the API shows it: the last progress, every notice, the end.

Owns: numbering what is told, and what a watcher who comes late or is slow still gets. Does not own: sockets, the run.
Messages for the operator in, events for any number of watchers out.

A watcher is told every notice, the newest progress and the end. Progress in between is left out for whoever is slow,
so that the board's memory does not depend on watchers.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from aiperf.api.contract import Event, RunInfo, Told
from aiperf.wire.messages import Notice, Progress, RunFinished

NOTICES_KEPT = 500

STATE_BEFORE = "starting"
STATE_AFTER = "over"


class RunBoard:
    """Written by one, read by many, in one event loop."""

    def __init__(self, run_id: str, plan: Mapping[str, Any]) -> None:
        """`plan`: its public dump; it is shown as it is."""
        self._run_id = run_id
        self._plan = dict(plan)
        self._number = 0
        self._notices: deque[Event] = deque(maxlen=NOTICES_KEPT)
        self._progress: Event | None = None
        self._finished: Event | None = None
        self._changed = asyncio.Event()

    def tell(self, message: Told) -> None:
        """Puts up a message; after the end of the run nothing more."""
        if self._finished is not None:
            return
        self._number += 1
        event = Event(self._number, message)
        match message:
            case Notice():
                self._notices.append(event)
            case Progress():
                self._progress = event
            case RunFinished():
                self._finished = event
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def is_over(self) -> bool:
        return self._finished is not None

    def info(self) -> RunInfo:
        """The run as it stands."""
        progress = self._progress.message if self._progress else None
        finished = self._finished.message if self._finished else None
        assert progress is None or isinstance(progress, Progress)
        assert finished is None or isinstance(finished, RunFinished)
        state = STATE_AFTER if finished else progress.state if progress else STATE_BEFORE
        return RunInfo(self._run_id, state, self._plan, progress, finished)

    def news(self, after: int = 0) -> list[Event]:
        """What a watcher is to be told who has seen events up to number `after`. Order: by number; the end is last."""
        last = [event for event in (self._progress, self._finished) if event is not None]
        return sorted(
            (event for event in (*self._notices, *last) if event.number > after), key=lambda event: event.number
        )

    async def change(self) -> None:
        """Returns when something is told from now on."""
        await self._changed.wait()
