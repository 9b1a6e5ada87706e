"""Routes that give the results away.

Owns: `/v1/artifacts`, `/v1/artifacts/{name}`, `/v1/fetched`. Does not own: packing, when the run is over.
"""

from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from aiperf.api.contract import ArtifactInfo
from aiperf.api.parcel import Shelf
from aiperf.api.parcel_answer import parcel_answer
from aiperf.api.problems import ApiProblem

PATIENCE_S = 10.0
"""How long a request waits for packing before it is told to come again: less than proxies on the way bear."""

NOT_PACKED = "it is still being compressed"


def artifact_routes(
    shelf: Shelf, *, is_over: Callable[[], bool], fetched: Callable[[], None], ends_soon: bool = False
) -> list[BaseRoute]:
    """`shelf` has the artifacts once `is_over()`. `fetched()` hears that somebody has them all.

    `ends_soon`: who asks before the end knows that it is near, and is told to come again.
    """

    def refuse_before_end() -> None:
        if not is_over():
            status = 503 if ends_soon else 409
            raise ApiProblem(status, "the run is not over: there are no results yet", "follow /v1/progress to its end")

    async def show_all(_: Request) -> Response:
        refuse_before_end()
        try:
            parcels = await shelf.parcels(PATIENCE_S)
        except TimeoutError as error:
            raise not_packed() from error
        infos = [
            ArtifactInfo(name, parcel.size_bytes, parcel.sha256, parcel.packed_bytes)
            for name, parcel in parcels.items()
        ]
        return Response(msgspec.json.encode(infos), media_type="application/json")

    async def send(request: Request) -> Response:
        refuse_before_end()
        name = request.path_params["name"]
        try:
            # Only names that are listed are known: no path of the request ever reaches the disk.
            parcel = await shelf.parcel(name, PATIENCE_S)
        except KeyError as error:
            raise ApiProblem(404, "there is no artifact of this name", "GET /v1/artifacts lists them") from error
        except TimeoutError as error:
            raise not_packed() from error
        return parcel_answer(request, parcel)

    async def note_fetched(_: Request) -> Response:
        refuse_before_end()
        fetched()
        return Response(status_code=202)

    return [
        Route("/v1/artifacts", show_all, methods=["GET"]),
        Route("/v1/artifacts/{name:path}", send, methods=["GET"]),
        Route("/v1/fetched", note_fetched, methods=["POST"]),
    ]


def not_packed() -> ApiProblem:
    """Come again."""
    return ApiProblem(503, NOT_PACKED, "come again", {"Retry-After": "1"})
