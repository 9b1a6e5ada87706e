"""Files of one host for the others of its run, where they share no disk.

Owns: how long they are served. Does not own: what is in them, the user's way to the results (`api_host`).
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

from starlette.routing import BaseRoute

from aiperf.api.parcel import Shelf
from aiperf.api.routes_artifacts import artifact_routes
from aiperf.api.server import ApiServer, TlsFiles, build_app

log = logging.getLogger(__name__)

COLLECTION_LIMIT_S = 600.0
"""How long the controller's host may take to collect the artifacts."""


class Depot:
    """Serves until the host's services have left and the artifacts, if there are any, were collected."""

    def __init__(
        self,
        *,
        listener: socket.socket,
        tls: TlsFiles | None,
        token: str,
        packed_dir: Path,
        artifact_dir: Path | None,
        routes: Sequence[BaseRoute],
    ) -> None:
        """`artifact_dir`: None if the results are not of this host."""
        self._artifact_dir = artifact_dir
        self._artifacts = Shelf(packed_dir / "artifacts")
        self._collected = asyncio.Event()
        self._over = False
        served = [
            *artifact_routes(self._artifacts, is_over=lambda: self._over, fetched=self._collected.set, ends_soon=True),
            *routes,
        ]
        self._server = ApiServer(build_app(token, served), listener, tls)

    async def run(self, services_left: asyncio.Event) -> None:
        self._server.start()
        try:
            await services_left.wait()
            if self._artifact_dir is not None:
                self._artifacts.stock_folder(self._artifact_dir)
                self._over = True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._collected.wait(), COLLECTION_LIMIT_S)
        finally:
            await self._server.stop()
            self._artifacts.close()
