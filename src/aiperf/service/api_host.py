"""The HTTP API's place in a running benchmark: a seat on the control bus, and the server beside it.

Owns: what the API hears and says on the bus, how long it lingers after the run. Does not own: routes and transfers
(`aiperf.api`), the run's decisions.

It sits where an operator sits, and passes on to any number of people far away what the controller tells operators.
After the run it serves the results until somebody has fetched them, or until the linger ends.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiperf.api.parcel import Shelf
from aiperf.api.routes_artifacts import artifact_routes
from aiperf.api.routes_dataset import store_routes, upload_routes
from aiperf.api.routes_run import run_routes
from aiperf.api.run_board import RunBoard
from aiperf.api.server import ApiServer, TlsFiles, build_app
from aiperf.api.upload import Upload
from aiperf.clock import Clock
from aiperf.units import NS_PER_S
from aiperf.wire.bus import Seat
from aiperf.wire.messages import Heartbeat, Notice, OperatorJoined, Progress, RunFinished, StopRun

log = logging.getLogger(__name__)

SILENCE_LIMIT_NS = 15 * NS_PER_S
"""The controller is heard twice a second; after so long without a word it hangs, and `/healthz` says so."""

INPUT_DIR = "input"
"""Folder of the uploaded input file, within the data folder."""


class ApiHost:
    """`run()` returns when the run is over and its results were fetched, or the linger has ended."""

    def __init__(
        self,
        *,
        seat: Seat,
        clock: Clock,
        listener: socket.socket,
        tls: TlsFiles | None,
        token: str,
        run_id: str,
        plan: Mapping[str, Any],
        artifact_dir: Path,
        data_dir: Path,
        store_path: Path,
        linger_s: float | None,
    ) -> None:
        """`plan`: its public dump. `linger_s`: None waits for as long as it takes."""
        self._seat = seat
        self._clock = clock
        self._artifact_dir = artifact_dir
        self._linger_s = linger_s
        self._heard_ns = clock.now_ns()
        self._fetched = asyncio.Event()
        self._board = RunBoard(run_id, plan)
        self._shelf = Shelf(data_dir / "packed")
        routes = [
            *run_routes(self._board, self._stop),
            *artifact_routes(self._shelf, is_over=lambda: self._board.is_over, fetched=self._fetched.set),
            *upload_routes(Upload(data_dir / INPUT_DIR), lambda path: log.info("%s has been uploaded", path.name)),
            *store_routes(self._shelf, store_path),
        ]
        self._server = ApiServer(build_app(token, routes, is_healthy=self._trouble), listener, tls)

    async def run(self) -> None:
        self._server.start()
        try:
            self._seat.send(OperatorJoined())
            await self._relay()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._linger_s):
                    await self._fetched.wait()
            log.info("the results were %s", "fetched" if self._fetched.is_set() else "not fetched in time")
        finally:
            await self._server.stop()
            self._shelf.close()

    async def _relay(self) -> None:
        """Until the run is over."""
        while not self._board.is_over:
            _, message = await self._seat.receive()
            self._heard_ns = self._clock.now_ns()
            match message:
                case Progress() | Notice():
                    self._board.tell(message)
                case RunFinished():
                    # In this order: who hears of the end finds the results.
                    self._shelf.stock_folder(self._artifact_dir)
                    self._board.tell(message)
                case Heartbeat():
                    pass

    def _stop(self, now: bool) -> None:
        self._seat.send(StopRun(now=now, reason="stopped by way of the API"))

    def _trouble(self) -> str:
        silent_ns = self._clock.now_ns() - self._heard_ns
        if self._board.is_over or silent_ns < SILENCE_LIMIT_NS:
            return ""
        return f"the system controller has been silent for {silent_ns // NS_PER_S} s"
