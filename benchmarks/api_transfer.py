"""Bringing results home by the controller's API: seconds for a gigabyte, CPU and memory of both sides.

    python benchmarks/api_transfer.py [--mb 1000] [--content lines|random] [--tls] [--files 1]

A server in a process of its own packs and sends, this process fetches, over loopback. The time counts from the end of
the run: the server packs within it. `lines` resembles `profile_export.jsonl`, `random` cannot be compressed.

Taken on 2 shared virtual cores with SHA extensions (Python 3.11), for 1 GB of lines, in CPU time: results 2.3 s of the
server (packing and checksum, once) and 1.6 s of the client; sending a packed store once more 0.1 s and 1.5 s; upload
3.8 s and 2.4 s. TLS adds 5 %. Wall time of the results: 5 to 7 s with a little other work on the cores, 11 to
17 s when eight other processes wanted them. Peak memory: client 58 MB (70 with TLS), server 52 (58).
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from aiperf.api.certificate import RunCertificate, make_certificate
from aiperf.api.client import ApiClient
from aiperf.api.connection import ApiAddress
from aiperf.api.contract import Uploadable
from aiperf.api.parcel import Shelf
from aiperf.api.routes_artifacts import artifact_routes
from aiperf.api.routes_dataset import dataset_routes, upload_routes
from aiperf.api.routes_run import run_routes
from aiperf.api.run_board import RunBoard
from aiperf.api.server import ApiServer, TlsFiles, build_app, listen
from aiperf.api.upload import Upload
from aiperf.wire.messages import RunFinished

TOKEN = "token"
MB = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--content", choices=("lines", "random"), default="lines")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--files", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        certificate = make_certificate("bench", ["127.0.0.1"]) if options.tls else None
        size = options.mb * MB // options.files
        for number in range(options.files):
            write_content(root / "served" / f"{number}.jsonl", size, options.content, number)
        ours, theirs = multiprocessing.Pipe()
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(root, certificate, theirs))
        server.start()
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far: making the content
        try:
            uvloop.run(measure(root, certificate, ours, options.mb))
        finally:
            ours.close()
            server.join(10)


async def measure(root: Path, certificate: RunCertificate | None, server: Connection, mb: int) -> None:
    port = server.recv()
    pin = certificate.certificate_pem if certificate else ""
    address = ApiAddress(f"{'https' if certificate else 'http'}://127.0.0.1:{port}", TOKEN, pin)
    async with ApiClient(address) as client:
        first = root / "served" / "0.jsonl"
        size = first.stat().st_size
        await timed("upload of the input file", server, lambda: client.upload(Uploadable.INPUT, first), size)
        server.send("end")
        await timed("results", server, lambda: client.fetch_artifacts(root / "home"), mb * MB)
        await timed("dataset store", server, lambda: client.fetch_dataset_store(root / "s", compile_limit_s=9), size)


async def timed(what: str, server: Connection, work: Callable[[], Awaitable[object]], size: int) -> None:
    server.send("usage")
    before, far_before = (time.perf_counter(), time.process_time()), server.recv()
    await work()
    server.send("usage")
    far_after = server.recv()
    wall, cpu = time.perf_counter() - before[0], time.process_time() - before[1]
    print(
        f"{what:26} {size / MB:6.0f} MB in {wall:5.2f} s; CPU s: client {cpu:5.2f}, server "
        f"{far_after[0] - far_before[0]:5.2f}; peak MB: client {peak_mb():.0f}, server {far_after[1]:.0f}"
    )


def peak_mb() -> float:
    """Resident memory at its highest; what `getrusage` says is inherited from the parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def serve(root: Path, certificate: RunCertificate | None, client: Connection) -> None:
    uvloop.run(serving(root, certificate, client))


async def serving(root: Path, certificate: RunCertificate | None, client: Connection) -> None:
    board, shelf = RunBoard("bench", {}), Shelf(root / "packed")
    tls = None
    if certificate:
        tls = TlsFiles(root / "crt", root / "key")
        tls.certificate.write_text(certificate.certificate_pem)
        tls.key.write_text(certificate.key_pem)
    routes = [
        *run_routes(board, lambda _: None),
        *artifact_routes(shelf, is_over=lambda: board.is_over, fetched=lambda: None),
        *upload_routes(Uploadable.INPUT, Upload(root / "input"), shelf, lambda _: None),
        *dataset_routes(shelf, root / "served" / "0.jsonl", root / "tokenizer.json"),
    ]
    server = ApiServer(build_app(TOKEN, routes), listen("127.0.0.1", 0, tls=tls is not None), tls)
    server.start()
    client.send(server.port)
    over = asyncio.Event()

    def obey() -> None:
        try:
            order = client.recv()
        except EOFError:
            over.set()
            return
        if order == "end":
            shelf.stock_folder(root / "served")
            board.tell(RunFinished(0, "completed", "", "", ""))
        else:
            client.send((time.process_time(), peak_mb()))

    loop = asyncio.get_running_loop()
    loop.add_reader(client.fileno(), obey)
    await over.wait()
    loop.remove_reader(client.fileno())
    await server.stop()


def write_content(path: Path, size: int, kind: str, seed: int) -> None:
    path.parent.mkdir(exist_ok=True)
    source = random.Random(seed)
    with path.open("wb") as file:
        if kind == "random":
            while file.tell() < size:
                file.write(source.randbytes(min(MB, size - file.tell())))
            return
        # Lines are drawn once and repeated at distances that the compressor's window does not reach.
        block = b"".join(line(source, number) for number in range(60_000))
        while file.tell() < size:
            file.write(block[: size - file.tell()])


def line(source: random.Random, number: int) -> bytes:
    start_ns = 1_759_000_000_000_000_000 + number * 1_000_123
    ms = {name: source.random() * 1000 for name in ("time_to_first_token", "request_latency", "inter_token_latency")}
    record = {
        "metadata": {
            "session_num": number,
            "x_request_id": f"{source.getrandbits(128):032x}",
            "conversation_id": f"session_{source.randrange(100_000):06d}",
            "request_start_ns": start_ns,
            "request_end_ns": start_ns + source.randrange(10**10),
            "worker_id": f"worker-{source.randrange(10)}",
            "benchmark_phase": "profiling",
            "was_cancelled": False,
        },
        "metrics": {name: {"value": value, "unit": "ms"} for name, value in ms.items()},
        "error": None,
    }
    return json.dumps(record).encode() + b"\n"


if __name__ == "__main__":
    main()
