import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from aiperf.api.health import HealthListener
from aiperf.errors import InfrastructureError


@contextlib.asynccontextmanager
async def listening(missing: str = "") -> AsyncIterator[int]:
    listener = HealthListener("127.0.0.1", 0, is_ready=lambda: missing)
    yield await listener.start()
    listener.close()


async def ask(port: int, request: bytes) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer.decode()


@pytest.mark.parametrize(
    ("line", "status", "body"),
    [
        (b"GET /healthz HTTP/1.1", "200 OK", "ok\n"),
        (b"GET /readyz?verbose HTTP/1.0", "503 Service Unavailable", "no dataset yet\n"),
        (b"HEAD /readyz HTTP/1.1", "503 Service Unavailable", ""),
        (b"GET /v1/run HTTP/1.1", "404 Not Found", "only /healthz and /readyz are here\n"),
        (b"POST /healthz HTTP/1.1", "405 Method Not Allowed", "GET or HEAD\n"),
        (b"nonsense", "400 Bad Request", "not HTTP/1\n"),
        (b"\xff\x00 \xfe", "400 Bad Request", "not HTTP/1\n"),
    ],
)
async def test_probes_are_answered(line: bytes, status: str, body: str) -> None:
    async with listening("no dataset yet") as port:
        answer = await ask(port, line + b"\r\nHost: x\r\n\r\n")
    head, _, content = answer.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status}\r\n")
    assert content == body


async def test_ready_is_200() -> None:
    async with listening() as port:
        assert (await ask(port, b"GET /readyz HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 200 ")


async def test_a_head_without_end_is_not_collected() -> None:
    async with listening() as port:
        assert await ask(port, b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 10_000) == ""


async def test_a_taken_port_is_said_so() -> None:
    async with listening() as port:
        with pytest.raises(InfrastructureError, match=str(port)):
            await HealthListener("127.0.0.1", port).start()
