"""Errors as the API answers them: a status, what happened, and what to do.

Owns: their JSON. Does not own: what is an error.
"""

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from aiperf.api.contract import ProblemInfo


class ApiProblem(HTTPException):
    """Ends a request with an error."""

    def __init__(self, status: int, what: str, hint: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(status, what, headers)
        self.hint = hint


def problem_body(what: str, hint: str = "") -> bytes:
    return msgspec.json.encode(ProblemInfo(what, hint))


async def answer_problem(_: Request, problem: Exception) -> Response:
    """For what routes raise, and for what the router itself does not find."""
    assert isinstance(problem, HTTPException)
    hint = problem.hint if isinstance(problem, ApiProblem) else "the routes are listed in docs/api.md"
    body = problem_body(problem.detail, hint)
    return Response(body, problem.status_code, problem.headers, media_type="application/json")


async def answer_bug(_: Request, error: Exception) -> Response:
    """For everything else; the traceback is in the log."""
    body = problem_body(f"a bug in aiperf: {type(error).__name__}", "the controller's log has the traceback")
    return Response(body, 500, media_type="application/json")
