"""Bodies of requests, as far as they may be long.

Owns: limits. Does not own: what is done with them.
"""

from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from aiperf.api.problems import ApiProblem

ORDER_BYTES = 64 << 10

Order = TypeVar("Order", bound=msgspec.Struct)


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body. Raises: ApiProblem if it is too long, or ends before its time."""
    parts = bytearray()
    try:
        async for part in request.stream():
            parts += part
            if len(parts) > limit_bytes:
                raise ApiProblem(413, f"a body has at most {limit_bytes} bytes here")
    except ClientDisconnect as error:
        raise ApiProblem(400, "the connection ended in the middle of the body") from error
    return bytes(parts)


async def read_order(request: Request, kind: type[Order]) -> Order:
    """The body as one of the contract's structs. Raises: ApiProblem if it is none."""
    body = await read_body(request, ORDER_BYTES)
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise ApiProblem(400, f"the body is not what is expected: {error}") from error
