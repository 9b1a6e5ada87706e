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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from starlette.routing import BaseRoute

from aiperf.api.client import ApiClient
from aiperf.api.connection import ApiAddress
from aiperf.api.contract import Uploadable
from aiperf.api.parcel import Shelf
from aiperf.api.routes_artifacts import artifact_routes
from aiperf.api.routes_dataset import upload_routes
from aiperf.api.routes_run import run_routes
from aiperf.api.run_board import RunBoard
from aiperf.api.server import ApiServer, TlsFiles, build_app
from aiperf.api.upload import Upload
from aiperf.clock import Clock
from aiperf.errors import AIPerfError, ExitCode
from aiperf.units import NS_PER_S
from aiperf.wire.bus import Seat
from aiperf.wire.messages import Heartbeat, Notice, OperatorJoined, Progress, RunFinished, StopRun

log = logging.getLogger(__name__)

SILENCE_LIMIT_NS = 15 * NS_PER_S
"""The controller is heard twice a second; after so long without a word it hangs, and `/healthz` says so."""


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
        upload_dir: Path,
        packed_dir: Path,
        routes: Sequence[BaseRoute] = (),
        results: ApiAddress | None = None,
        linger_s: float | None,
    ) -> None:
        """`plan`: its public dump. `routes`: more that are served here. `results`: the host that has the artifacts,
        from where they are fetched; None: this one. `linger_s`: None waits for as long as it takes."""
        self._seat = seat
        self._clock = clock
        self._artifact_dir = artifact_dir
        self._results = results
        self._linger_s = linger_s
        self._heard_ns = clock.now_ns()
        self._fetched = asyncio.Event()
        self._board = RunBoard(run_id, plan)
        self._artifacts = Shelf(packed_dir / "artifacts")
        self._sent = Shelf(packed_dir / "sent")
        uploads = [
            route
            for what in Uploadable
            for route in upload_routes(what, Upload(upload_dir / what.value), self._sent, _note_upload)
        ]
        served = [
            *run_routes(self._board, self._stop),
            *artifact_routes(self._artifacts, is_over=lambda: self._board.is_over, fetched=self._fetched.set),
            *uploads,
            *routes,
        ]
        self._server = ApiServer(build_app(token, served, is_healthy=self.trouble), listener, tls)

    async def run(self) -> RunFinished:
        """How the run ended."""
        self._server.start()
        try:
            self._seat.send(OperatorJoined())
            finished = await self._relay()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._linger_s):
                    await self._fetched.wait()
            log.info("the results were %s", "fetched" if self._fetched.is_set() else "not fetched in time")
            return finished
        finally:
            await self._server.stop()
            self._artifacts.close()
            self._sent.close()

    async def _relay(self) -> RunFinished:
        """Until the run is over."""
        while True:
            _, message = await self._seat.receive()
            self._heard_ns = self._clock.now_ns()
            match message:
                case Progress() | Notice():
                    self._board.tell(message)
                case RunFinished():
                    finished = await self._with_results_here(message)
                    # In this order: who hears of the end finds the results.
                    self._artifacts.stock_folder(self._artifact_dir)
                    self._board.tell(finished)
                    return finished
                case Heartbeat():
                    pass

    async def _with_results_here(self, finished: RunFinished) -> RunFinished:
        """The message, once the artifacts have come from the host that wrote them; without them it says why."""
        if self._results is None:
            return finished
        try:
            async with ApiClient(self._results) as client:
                await client.fetch_artifacts(self._artifact_dir)
                await client.confirm_fetched()
        except (AIPerfError, OSError) as error:
            log.error("the results could not be collected: %s", error)
            if finished.summary_path:
                reason = f"the results could not be collected from the records manager: {error}"
                return msgspec.structs.replace(
                    finished, exit_code=int(ExitCode.INFRASTRUCTURE), reason=reason, summary_path=""
                )
        return finished

    def _stop(self, now: bool) -> None:
        self._seat.send(StopRun(now=now, reason="interrupted by the user"))

    def trouble(self) -> str:
        """What is wrong with the run's host, in plain words; nothing if all is well."""
        silent_ns = self._clock.now_ns() - self._heard_ns
        if self._board.is_over or silent_ns < SILENCE_LIMIT_NS:
            return ""
        return f"the system controller has been silent for {silent_ns // NS_PER_S} s"


def _note_upload(path: Path) -> None:
    log.info("%s has been uploaded", path.name)
