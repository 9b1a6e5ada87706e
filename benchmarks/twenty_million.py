"""Memory of a run of 20 million requests: the proportional set size of every process, from the first record to the end.

    python benchmarks/twenty_million.py [--requests N] [--rate PER_S] [--pairs N] [--folder DIR] [flags of profile]

It is `aiperf profile` with all its processes, credits, slices, record processors, columns and export. Only the socket
is simulated: in the worker's process a client makes up the bytes and stamps of each response (a stream of four tokens
with usage, in two reads; one request in a thousand is answered by a 503 with a text of its own) and ends what was asked
at the pace of `--rate`. What it costs to talk to a server is in `connection_memory.py` and `memory.py`.

It prints what each process takes over time and exits with 1 if one grows beyond its bound, or goes on growing: if its
median in the last quarter of the load is above that of the quarter before by more than `STILL_GROWING`. With fewer than
two million requests that is bound to be so: instants are kept of the first million.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from memory import BYTES_PER_MB, pss_bytes, role_of, tree

import aiperf.service.wiring
from aiperf.cli.main import main as aiperf_main
from aiperf.clock import RunClock
from aiperf.endpoint.counters import ClientCounters
from aiperf.endpoint.exchange import BodyKind, ErrorKind, Exchange, Outcome, Sink
from aiperf.service.worker import Client
from aiperf.units import NS_PER_S

BOUNDS_MB = {"worker": 150, "record-processor": 200, "control": 600, "profile": 100}
"""Of one process at any time, as docs/artifacts.md tells users."""
STILL_GROWING = 1.05
GROWTH_FLOOR_MB = 10
"""Less than this is the noise of an allocator."""
INTERVAL_S = 1.0
TICK_S = 0.002
CONCURRENCY = 200
RATE = 12_000
WORDS = [f"w{number:03}" for number in range(997)]


def _chunk(text: str) -> bytes:
    delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _end(isl: int) -> bytes:
    usage = {"prompt_tokens": isl, "completion_tokens": 4, "total_tokens": isl + 4}
    last = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [],
        "usage": usage,
    }
    return b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n"


class SimulatedClient(Client):
    """In place of the HTTP client: ends what it was given at a rate, oldest first, and tells the sink as that would."""

    rate = RATE

    def __init__(self, *, clock: RunClock, sink: Sink, **_: Any) -> None:
        self._clock = clock
        self._sink = sink
        self._counters = ClientCounters()
        self._asked: deque[tuple[Exchange, int]] = deque()
        self._random = random.Random(os.getpid())
        self._allowance = 0.0
        self._looked_ns = 0
        self._ticking: asyncio.TimerHandle | None = None
        self._texts = [_chunk(word) for word in WORDS]
        self._ends = [_end(isl) for isl in range(1, 60)]

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def submit(self, exchange: Exchange) -> None:
        now_ns = self._clock.now_ns()
        exchange.sent_ns, exchange.send_done_ns = now_ns, now_ns + 20_000
        exchange.sent_bytes, exchange.connection_reused = len(exchange.head) + len(exchange.body), 1
        self._asked.append((exchange, now_ns))
        if self._ticking is None:
            self._looked_ns, self._allowance = now_ns, 1.0
            self._ticking = self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        now_ns = self._clock.now_ns()
        self._allowance = min(self._allowance + (now_ns - self._looked_ns) * self.rate / NS_PER_S, CONCURRENCY)
        self._looked_ns = now_ns
        while self._asked and self._allowance >= 1:
            self._allowance -= 1
            exchange, sent_ns = self._asked.popleft()
            self._answer(exchange, sent_ns, now_ns)
        self._ticking = self._loop.call_later(TICK_S, self._tick) if self._asked else None

    def _answer(self, exchange: Exchange, sent_ns: int, now_ns: int) -> None:
        random_, sink = self._random, self._sink
        # No two are alike: latencies that repeat would fill few buckets of a sketch.
        took_ns = max(1_000_000, round((now_ns - sent_ns) * random_.lognormvariate(0, 1)))
        exchange.end_ns = sent_ns + took_ns
        exchange.first_byte_ns = first_ns = sent_ns + took_ns // 3
        if random_.random() < 0.001:
            exchange.http_status, exchange.body_kind = 503, BodyKind.JSON
            exchange.outcome, exchange.error_kind = Outcome.FAILED, ErrorKind.HTTP_STATUS
            sink.on_head(exchange)
            sink.on_read(exchange, first_ns, sent_ns, json.dumps({"error": f"overloaded {random_.random()}"}).encode())
        else:
            exchange.http_status, exchange.body_kind = 200, BodyKind.EVENT_STREAM
            sink.on_head(exchange)
            texts = random_.choices(self._texts, k=4)
            sink.on_read(exchange, first_ns, first_ns - 1_000, texts[0])
            rest = b"".join(texts[1:]) + random_.choice(self._ends)
            sink.on_read(exchange, exchange.end_ns, exchange.end_ns - 1_000, rest)
            exchange.received_bytes = len(texts[0]) + len(rest)
            self._counters.kernel_stamped_read_count += 2
        sink.on_end(exchange)

    def cancel_all(self, outcome: Outcome) -> None:
        while self._asked:
            exchange, _ = self._asked.popleft()
            exchange.outcome, exchange.error_kind, exchange.end_ns = outcome, ErrorKind.CUT, self._clock.now_ns()
            self._sink.on_end(exchange)

    def close(self) -> None:
        self._asked.clear()

    def abandon(self, first_target: int) -> None: ...

    def observe_anew(self) -> None: ...

    def observations(self) -> dict[str, float]:
        return self._counters.observations()


def simulate(argv: list[str], rate: float) -> int:
    """The run itself: hosts are forks of this process, so they find the simulated client in the real one's place."""
    SimulatedClient.rate = rate
    aiperf.service.wiring.HttpClient = SimulatedClient  # type: ignore[assignment,misc]
    return aiperf_main(argv)


def watch(process: "subprocess.Popen[bytes]", artifacts: Path) -> dict[str, list[tuple[float, float, float]]]:
    """Of each process by its role, once a second: seconds since the start, PSS in MB, RSS in MB."""
    began = time.monotonic()
    seen: dict[str, list[tuple[float, float, float]]] = {}
    roles: dict[int, str] = {}
    told = began
    while process.poll() is None:
        for pid in tree(process.pid):
            if roles.get(pid, "profile") in ("profile", "starter", "?"):
                roles[pid] = role_of(pid, artifacts)
                if roles[pid] in ("starter", "?"):
                    roles[pid] = "profile"
            if size := pss_bytes(pid):
                row = (time.monotonic() - began, size / BYTES_PER_MB, rss_bytes(pid) / BYTES_PER_MB)
                seen.setdefault(f"{roles[pid]}[{pid}]", []).append(row)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            now = ", ".join(f"{role.partition('[')[0]} {rows[-1][1]:.0f}" for role, rows in seen.items())
            print(f"{told - began:6.0f} s  PSS MB: {now}", flush=True)
        time.sleep(INTERVAL_S)
    return seen


def rss_bytes(pid: int) -> int:
    """0 for a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def judge(seen: dict[str, list[tuple[float, float, float]]], load_s: float) -> bool:
    """Prints the table; whether every process stayed within its bound and came to rest."""
    is_well = True
    print(f"\n{'process':22}{'bound':>7}{'peak PSS':>10}{'peak RSS':>10}   PSS in each eighth of the load, MB")
    for name, rows in seen.items():
        role = name.partition("[")[0]
        bound = next((mb for kind, mb in BOUNDS_MB.items() if role.startswith(kind)), BOUNDS_MB["profile"])
        sizes = [pss for at_s, pss, _ in rows if at_s <= load_s]
        eighths = [sizes[len(sizes) * n // 8 : len(sizes) * (n + 1) // 8] for n in range(8)]
        medians = [statistics.median(part) for part in eighths if part]
        peak, peak_rss = max(pss for _, pss, _ in rows), max(rss for _, _, rss in rows)
        middle, late = sizes[len(sizes) // 2 : len(sizes) * 3 // 4], sizes[len(sizes) * 3 // 4 :]
        before = statistics.median(middle) if middle else 0.0
        growth = statistics.median(late) - before if middle else 0.0
        grows = growth > max(GROWTH_FLOOR_MB, before * (STILL_GROWING - 1))
        words = ("  BEYOND ITS BOUND" if peak > bound else "") + ("  STILL GROWS" if grows else "")
        is_well = is_well and not words
        told = " ".join(f"{each:.0f}" for each in medians)
        print(f"{role:22}{bound:>7}{peak:>10.0f}{peak_rss:>10.0f}   {told}{words}")
    return is_well


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000_000)
    parser.add_argument("--rate", type=float, default=RATE, help="requests per second that the simulated server ends")
    parser.add_argument("--pairs", type=int, default=2, help="workers, and as many record processors")
    parser.add_argument("--folder", type=Path, help="where results and spilled slices go; default: a temporary one")
    parser.add_argument("--simulated", action="store_true", help=argparse.SUPPRESS)
    options, flags = parser.parse_known_args()
    if options.simulated:
        return simulate(flags, options.rate)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        command = [
            *(
                sys.executable,
                __file__,
                "--simulated",
                "--rate",
                str(options.rate / options.pairs),
                "profile",
                "-m",
                "m",
                "--streaming",
            ),
            *("-u", "http://127.0.0.1:9", "--tokenizer", "builtin", "--use-server-token-count", "--isl", "16"),
            *("--osl", "4", "--concurrency", str(CONCURRENCY), "--request-count", str(options.requests)),
            *("--workers-max", str(options.pairs), "--connections-per-worker", str(CONCURRENCY // options.pairs)),
            *("--record-processors", str(options.pairs), "--ui", "none"),
            *("--log-level", "info", "--artifact-dir", folder, *flags),
        ]
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        seen = watch(process, Path(folder))
        took_s = time.monotonic() - began
        if process.returncode:
            print(f"the run failed with exit code {process.returncode}")
            return 1
        (path,) = Path(folder).glob("*/profile_export_aiperf.json")
        summary = json.loads(path.read_bytes())
    load_s = summary["benchmark_duration"]["avg"]
    credits, records, status = summary["credits"], summary["records"], summary["verdict"]["status"]
    print(f"{options.requests:,} requests in {load_s:.0f} s of load, {took_s:.0f} s in all: {status}")
    print(f"credits: {credits}\nrecords: {records}")
    print(f"deferred: {summary.get('deferred')}")
    for reason in summary["verdict"]["reasons"]:
        print(f"  {reason['severity']}: {reason['text']}")
    reconciles = credits["issued"] == options.requests == records["records"] and not records["lost"]
    if not reconciles:
        print("the ledgers do not reconcile with what was asked for")
    return 0 if judge(seen, load_s) and reconciles else 1


if __name__ == "__main__":
    sys.exit(main())
