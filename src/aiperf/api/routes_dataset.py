"""Routes for the dataset: files of the user's come in, and go out with the compiled store to other hosts.

Owns: `/v1/uploads`, `/v1/dataset`. Does not own: writing the upload (`upload`), compiling.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from aiperf.api.bodies import read_body, read_order
from aiperf.api.contract import (
    BLOCK_BYTES,
    OFFSET_HEADER,
    BeginUpload,
    CompleteUpload,
    Uploadable,
    UploadInfo,
    upload_path,
)
from aiperf.api.parcel import Shelf
from aiperf.api.parcel_answer import parcel_answer
from aiperf.api.problems import ApiProblem
from aiperf.api.routes_artifacts import PATIENCE_S, not_packed
from aiperf.api.upload import Upload, UploadError, WrongContentError, WrongOffsetError

PACKED_BLOCK_BYTES = BLOCK_BYTES + BLOCK_BYTES // 128 + 1024
"""What cannot be compressed becomes a little longer. Source: ZSTD_compressBound."""

OFFSET_DIGITS = 18
"""No file is larger, and Python refuses to read numbers of thousands of digits."""

T = TypeVar("T")


def upload_routes(what: Uploadable, upload: Upload, shelf: Shelf, received: Callable[[Path], None]) -> list[BaseRoute]:
    """`received(path)` hears, once, where the complete file is."""
    path = upload_path(what)
    one_at_a_time = asyncio.Lock()

    async def perform(step: Callable[[], UploadInfo], status: int = 200) -> Response:
        async with one_at_a_time:
            was_complete = upload.info().complete
            info = await _refusing(lambda: asyncio.to_thread(step), upload)
            if info.complete and not was_complete:
                received(upload.path)
        return _told(info, status)

    async def begin(request: Request) -> Response:
        order = await read_order(request, BeginUpload)
        return await perform(lambda: upload.begin(order.name, order.size), 201)

    async def show(_: Request) -> Response:
        return _told(upload.info())

    async def append(request: Request) -> Response:
        offset = request.headers.get(OFFSET_HEADER, "")
        if not offset.isdecimal() or len(offset) > OFFSET_DIGITS:
            raise ApiProblem(400, f"the header {OFFSET_HEADER} says where the block begins, in bytes")
        if request.headers.get("content-encoding") != "zstd":
            raise ApiProblem(415, "blocks are compressed with zstd")
        block = await read_body(request, PACKED_BLOCK_BYTES)
        return await perform(lambda: upload.append(int(offset), block))

    async def complete(request: Request) -> Response:
        order = await read_order(request, CompleteUpload)
        return await perform(lambda: upload.complete(order.sha256))

    return [
        Route(path, begin, methods=["PUT"]),
        Route(path, show, methods=["GET"]),
        Route(path, append, methods=["PATCH"]),
        Route(path, complete, methods=["POST"]),
        _file_route(
            f"{path}/content", shelf, lambda: upload.path if upload.info().complete else None, "it has not arrived yet"
        ),
    ]


async def _refusing(step: Callable[[], Awaitable[T]], upload: Upload) -> T:
    """What the step returns. Raises: ApiProblem for what the upload refuses, with the offset to go on from."""
    try:
        return await step()
    except UploadError as error:
        status = 409 if isinstance(error, WrongOffsetError) else 422 if isinstance(error, WrongContentError) else 400
        headers = {OFFSET_HEADER: str(upload.info().offset)}
        raise ApiProblem(status, str(error), f"{OFFSET_HEADER} tells where to go on", headers) from error
    except OSError as error:
        raise ApiProblem(
            507, f"the dataset cannot be written: {error.strerror or error}", "give it more disk"
        ) from error


def _told(info: UploadInfo, status: int = 200) -> Response:
    headers = {OFFSET_HEADER: str(info.offset)}
    return Response(msgspec.json.encode(info), status, headers, media_type="application/json")


def dataset_routes(shelf: Shelf, store_path: Path, tokenizer_path: Path) -> list[BaseRoute]:
    """Both are given out once they are at their paths, where they appear whole; until then others are to come again."""

    def there(path: Path) -> Callable[[], Path | None]:
        return lambda: path if path.exists() else None

    absent = "the dataset is not compiled yet"
    return [
        _file_route("/v1/dataset/store", shelf, there(store_path), absent),
        _file_route("/v1/dataset/tokenizer", shelf, there(tokenizer_path), absent),
    ]


def _file_route(route: str, shelf: Shelf, find: Callable[[], Path | None], absent: str) -> Route:
    """Gives a file away once `find` has it."""

    async def send(request: Request) -> Response:
        path = find()
        if path is None:
            raise ApiProblem(503, absent, "come again", {"Retry-After": "1"})
        shelf.stock(route, path)
        try:
            parcel = await shelf.parcel(route, PATIENCE_S)
        except TimeoutError as error:
            raise not_packed() from error
        return parcel_answer(request, parcel)

    return Route(route, send, methods=["GET"])
