"""Routes about the run itself: how it goes, stopping it.

Owns: `/v1/run`, `/v1/progress`, `/v1/stop`. Does not own: what is shown (`run_board`), the stop's consequences.
"""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from aiperf.api.bodies import read_order
from aiperf.api.contract import HEARTBEAT, StopOrder, event_to_json, run_to_json
from aiperf.api.run_board import RunBoard

HEARTBEAT_S = 2.0
"""After so long without news watchers are told that somebody is there."""

_HEARTBEAT_FRAME = msgspec.json.encode({"type": HEARTBEAT}).decode()


def run_routes(board: RunBoard, stop: Callable[[bool], None]) -> list[BaseRoute]:
    """`stop(now)` orders the end; it returns at once."""

    async def show(_: Request) -> Response:
        return Response(run_to_json(board.info()), media_type="application/json")

    async def order_stop(request: Request) -> Response:
        order = await read_order(request, StopOrder)
        if not board.is_over:
            stop(order.now)
        return Response(status_code=202)

    async def watch(socket: WebSocket) -> None:
        after = socket.query_params.get("after", "0")[:18]
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):  # a watcher may leave at any time
            await _tell(socket, board, int(after) if after.isdecimal() else 0)
            await socket.close()

    return [
        Route("/v1/run", show, methods=["GET"]),
        Route("/v1/stop", order_stop, methods=["POST"]),
        WebSocketRoute("/v1/progress", watch),
    ]


async def _tell(socket: WebSocket, board: RunBoard, after: int) -> None:
    """Tells all there is after event number `after` and all that comes, until the run is over or the watcher leaves.

    The client gives `after` when it comes back, so that it hears nothing twice.
    """
    leaving = asyncio.create_task(_until_left(socket))
    try:
        while not leaving.done():
            for event in board.news(after):
                await socket.send_text(event_to_json(event).decode())
                after = event.number
            if board.news(after):
                continue
            if board.is_over:
                return
            changing = asyncio.create_task(board.change())
            await asyncio.wait((changing, leaving), timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if not changing.done():
                changing.cancel()
                await socket.send_text(_HEARTBEAT_FRAME)
    finally:
        leaving.cancel()


async def _until_left(socket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket.receive_text()
