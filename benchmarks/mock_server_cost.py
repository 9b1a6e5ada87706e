"""What the mock server costs: CPU time per request and per chunk.

    python benchmarks/mock_server_cost.py [--seconds 5]

How: one server process on loopback, one crude client in this process that keeps a number of connections busy; the
server's CPU time (user and system) is read from /proc before and after the load, so neither its start nor the client
counts.

Figures (Python 3.11, Linux 6.18, two shared cores of a virtual machine; they vary by a fifth with the neighbours):

    one-chunk requests                         102,000 requests per CPU-second
    one-chunk requests, truth log               69,000 requests per CPU-second
    100 streams, itl 2 ms                      167,000 chunks per CPU-second
    1,000 streams, itl 20 ms                   159,000 chunks per CPU-second
    1,000 streams, itl 20 ms, truth log        151,000 chunks per CPU-second
    5,000 streams, itl 100 ms, truth log       119,000 chunks per CPU-second
"""

import argparse
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple


class Load(NamedTuple):
    name: str
    connections: int
    tokens: int
    itl_ms: float
    logged: bool


LOADS = (
    Load("one-chunk requests", 100, 1, 0, False),
    Load("one-chunk requests, truth log", 100, 1, 0, True),
    Load("100 streams, itl 2 ms", 100, 100, 2, False),
    Load("1,000 streams, itl 20 ms", 1000, 100, 20, False),
    Load("1,000 streams, itl 20 ms, truth log", 1000, 100, 20, True),
    Load("5,000 streams, itl 100 ms, truth log", 5000, 50, 100, True),
)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drive(port: int, load: Load, seconds: float) -> tuple[int, int]:
    """Keeps the connections busy; returns how many requests ended and how many chunks came."""
    body = json.dumps({"stream": True, "max_tokens": load.tokens, "messages": [{"role": "user", "content": "hi you"}]})
    request = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Type: application/json\r\n"
        f"X-Request-ID: 01234567-89ab\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    epoll, socks = select.epoll(), {}
    for _ in range(load.connections):
        sock = socket.create_connection(("127.0.0.1", port))
        socks[sock.fileno()] = sock
        epoll.register(sock.fileno(), select.EPOLLIN)
        sock.send(request)
    requests = chunks = 0
    stop_s = time.monotonic() + seconds
    while time.monotonic() < stop_s:
        for fd, _ in epoll.poll(0.1, 1024):
            data = socks[fd].recv(65536)
            chunks += data.count(b'"content":"') - data.count(b'"content":""')
            if data.endswith(b"\r\n0\r\n\r\n"):
                requests += 1
                socks[fd].send(request)
    for sock in socks.values():
        sock.close()
    return requests, chunks


def measure(load: Load, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as directory:
        flags = ["--ttft", str(load.itl_ms), "--itl", str(load.itl_ms)]
        if load.logged:
            flags += ["--truth-log", f"{directory}/truth.jsonl"]
        command = [sys.executable, "-m", "aiperf", "mock-server", *flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port = int(server.stdout.readline().rpartition(":")[2])
            before_s = cpu_s(server.pid)
            requests, chunks = drive(port, load, seconds)
            spent_s = cpu_s(server.pid) - before_s
            server.terminate()
    print(
        f"{load.name:<40} {requests:>8,} requests {chunks:>9,} chunks {spent_s:6.2f} CPU-s "
        f"= {requests / spent_s:>8,.0f} requests and {chunks / spent_s:>9,.0f} chunks per CPU-s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of the mock server per request and per chunk.")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    for load in LOADS:
        measure(load, options.seconds)


if __name__ == "__main__":
    main()
