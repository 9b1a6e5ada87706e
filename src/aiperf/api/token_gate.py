"""Lets in only who knows the run's token.

Owns: the comparison and the refusal. Does not own: the token's origin, routes. An ASGI application around another.
"""

import hmac
from collections.abc import Collection

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from aiperf.api.contract import TOKEN_HEADER
from aiperf.api.problems import problem_body

_HEADER = TOKEN_HEADER.lower().encode()


class TokenGate:
    """Refuses before anything of a request's body is read."""

    def __init__(self, inner: ASGIApp, token: str, open_paths: Collection[str]) -> None:
        """Raises: ValueError if the token is empty: everybody would know it."""
        if not token:
            raise ValueError("the API needs a token")
        self._inner = inner
        self._token = token.encode()
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return  # there is no lifespan to speak of
        if scope["path"] in self._open_paths or self._knows_token(scope):
            await self._inner(scope, receive, send)
            return
        what = f"the header {TOKEN_HEADER} is missing or wrong"
        body = problem_body(what, "it has the token of this very run; `aiperf kube attach` finds it")
        refusal = Response(body, 401, media_type="application/json")
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.http.response.start", "status": 401, "headers": refusal.raw_headers})
            await send({"type": "websocket.http.response.body", "body": body})
        else:
            await refusal(scope, receive, send)

    def _knows_token(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == _HEADER]
        return len(given) == 1 and hmac.compare_digest(given[0], self._token)
