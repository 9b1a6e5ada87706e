"""Answers that send a parcel, or the part of it that was asked for.

Owns: the choice between compressed and plain, headers, streaming. Does not own: packing (`parcel`), ranges (`ranges`).
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from aiperf.api.contract import SHA256_HEADER, SIZE_HEADER
from aiperf.api.parcel import Parcel
from aiperf.api.problems import ApiProblem
from aiperf.api.ranges import Span, Unsatisfiable, accepts_zstd, requested_span

SEND_BYTES = 1 << 20
"""Read by a thread and handed on at a time; a connection's memory is a few of these."""


def parcel_answer(request: Request, parcel: Parcel) -> Response:
    """200, 206 or (raised) 416. Ranges are of the compressed bytes where those are accepted."""
    packed = accepts_zstd(request.headers.get("accept-encoding"))
    path, length, etag = (
        (parcel.packed_path, parcel.packed_bytes, parcel.packed_etag)
        if packed
        else (parcel.path, parcel.size_bytes, parcel.etag)
    )
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Vary": "Accept-Encoding",
        "Content-Type": "application/octet-stream",
        SHA256_HEADER: parcel.sha256,
        SIZE_HEADER: str(parcel.size_bytes),
    }
    if packed:
        headers["Content-Encoding"] = "zstd"
    try:
        span = requested_span(request.headers.get("range"), request.headers.get("if-range"), etag, length)
    except Unsatisfiable as error:
        raise ApiProblem(
            416,
            f"there are {length} bytes, and the range lies outside",
            "begin anew, without a range",
            {"Content-Range": f"bytes */{length}"},
        ) from error
    status = 206 if span else 200
    if span:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{length}"
    else:
        span = Span(0, length)
    headers["Content-Length"] = str(span.stop - span.start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_read(path, span), status, headers)


async def _read(path: Path, span: Span) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb", 0)
    try:
        file.seek(span.start)
        left = span.stop - span.start
        while left:
            chunk = await asyncio.to_thread(file.read, min(SEND_BYTES, left))
            if not chunk:
                return  # Shorter than announced: the connection is cut, and the other side sees it.
            left -= len(chunk)
            yield chunk
    finally:
        file.close()
