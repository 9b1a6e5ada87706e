"""A small API server of plain HTTP that answers as told, for what a real one does only on bad days."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]] | None
"""Status, body (JSON, or text as it is), headers; None: the connection is closed without a word."""


class ApiDouble:
    """`answers(method, path, query, body, headers)` is asked for each request but that for the version."""

    def __init__(self, answers: Callable[..., Answer]) -> None:
        self._answers = answers
        self.requests: list[str] = []

    async def __aenter__(self) -> "ApiDouble":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    def kubeconfig(self, path: Path, **user: str) -> Path:
        content = {
            "current-context": "double",
            "contexts": [{"name": "double", "context": {"cluster": "c", "user": "u", "namespace": "perf"}}],
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": user}],
        }
        path.write_text(yaml.safe_dump(content))
        return path

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, target, _ = first.split()
            parts = urlsplit(target)
            self.requests.append(f"{method} {parts.path}")
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path.rstrip("/") == "/version":
                answer: Answer = 200, {"gitVersion": "v1.36.0"}
            else:
                answer = self._answers(method, parts.path, query, json.loads(body or b"null"), headers)
            if answer is not None:
                status, content, *more = answer
                text = content if isinstance(content, str) else json.dumps(content)
                extra = "".join(f"{name}: {value}\r\n" for name, value in (more[0] if more else {}).items())
                extra += f"Content-Length: {len(text)}\r\nConnection: close\r\n"
                writer.write(f"HTTP/1.1 {status} X\r\n{extra}\r\n{text}".encode())
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def status(code: int, reason: str, message: str = "") -> Answer:
    """A refusal, as the API words it."""
    return code, {"kind": "Status", "reason": reason, "message": message}
