"""How many streams one machine keeps open at once, what they cost, and how true their times are.

    python benchmarks/connections.py --streams 20000 --ttft 12 --itl 4 --tokens 4 --servers 2
    python benchmarks/connections.py --streams 100000 --ttft 25 --itl 8 --tokens 5
    python benchmarks/connections.py --streams 250000 --ttft 75 --itl 15 --tokens 3 --connect-rate 4000
    python benchmarks/connections.py --streams 100000 --ttft 25 --itl 5 --tokens 10 --hold 300
    python benchmarks/connections.py --streams 1000000 --ttft 280 --itl 60 --tokens 4 --connect-rate 4000

Starts a mock server in as many processes as the limit of open files asks for, on one or more addresses of 127.0.0.0/8,
and runs the real `aiperf profile` against it from as many source addresses as there are ports needed. Where it may
(root), all of that happens in a network namespace of its own: no connection tracking, no other program's ports, and
`net.core.somaxconn` at 65535, because the accept queue of a server is the smaller one of that and of its own backlog,
and with the usual 4096 it overflows when a busy server does not accept for a second or two.

To have all streams open at once, the first ones must not end before the last one is connected: `--ttft` + `--itl` x
(`--tokens` - 1) has to be longer than `--streams` / `--connect-rate`. It is said when it is not.

While the run lasts, open connections (`/proc/net/sockstat`) and memory are sampled: the proportional set size (PSS) of
all processes of aiperf, which counts a page that n of them share as 1/n to each; the mock server's apart. What the
kernel needs for sockets is in neither. At the end each request is joined with its row in the servers' truth logs:
the time to the first token as reported minus that between the kernel's receive stamp of the request and the server's
send.

Measured on 25 November 2026, 2 shared cores on which others worked (load 3 to 6), Linux 6.18, Python 3.11.7, one run
each, the first three lines of the above; no request failed, all verdicts were valid:

    streams   at once   PSS, aiperf   PSS, servers   CPU, aiperf   TTFT error p50 / p99 / max
     20,000    20,000        208 MB         128 MB                  0.006 / 0.028 /  0.6 ms
    100,000   100,000        645 MB         533 MB          28 s    0.006 / 0.034 / 10.0 ms
    250,000   250,000      1,267 MB       1,279 MB          94 s    0.007 / 0.040 /  256 ms
"""

import argparse
import contextlib
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from aiperf.endpoint.local_ports import addresses_needed, usable_ports
from aiperf.units import NS_PER_MS

AIPERF = [sys.executable, "-m", "aiperf"]
IN_NAMESPACE = "AIPERF_BENCHMARK_IN_NAMESPACE"
NAMESPACE_SETTINGS = {
    "net/core/somaxconn": "65535",
    "net/ipv4/tcp_max_syn_backlog": "65535",
    "net/ipv4/tcp_max_tw_buckets": "2000000",
}
SERVER_SHARE = 0.8
"""Of a server process's files. The kernel deals connections to processes by a hash: some get more than their part."""
PORT_SHARE = 0.75
"""Of the ports of each address pair."""
PATIENCE_S = 600
"""Beyond what the run should take."""
BYTES_PER_MB = 1e6
COUNTED_EVERY_S = 0.25
SHOWN_EVERY_S = 10
WEIGHING_PAUSES_S = (1, 30)
SAMPLE_COST_MAX = 0.02
"""Share of the time that weighing may take, within these pauses."""


def enter_namespace() -> None:
    """Starts this program again in a network namespace of its own. Returns if there is none to be had."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--net", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        return
    command = 'ip link set lo up && exec "$0" "$@"'
    os.environ[IN_NAMESPACE] = "1"
    os.execv(unshare, [unshare, "--net", "sh", "-c", command, sys.executable, *sys.argv])


def prepare_namespace() -> None:
    for name, value in NAMESPACE_SETTINGS.items():
        with contextlib.suppress(OSError):  # not all are there in each kernel
            Path("/proc/sys", name).write_text(value)


# The processes


def started_server(options: argparse.Namespace, folder: Path) -> tuple[subprocess.Popen, list[str]]:
    """The mock server and its URLs."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = options.processes or max(2, math.ceil(options.streams / (files * SERVER_SHARE)))
    hosts = [f"127.0.100.{n + 1}" for n in range(options.servers)]
    command = [
        *AIPERF, "mock-server", "--processes", str(processes), "--truth-log", str(folder / "truth"),
        "--ttft", str(options.ttft * 1000), "--itl", str(options.itl * 1000), "--tokens", str(options.tokens),
        "--grain", str(options.grain), *(word for host in hosts for word in ("--host", host)),
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    urls = [server.stdout.readline().rpartition(" ")[2].strip() for _ in hosts]
    print(f"mock server: {processes} processes on {', '.join(urls)}", flush=True)
    return server, urls


def source_addresses(count: int) -> str:
    last = count + 1
    return f"127.0.0.2-127.0.{last >> 8}.{last & 255}"


def profile_command(options: argparse.Namespace, urls: list[str], folder: Path) -> list[str]:
    addresses = options.addresses or addresses_needed(
        options.streams, int(usable_ports() * PORT_SHARE) * options.servers
    )
    end = ["--benchmark-duration", str(options.hold), "--benchmark-grace-period", str(PATIENCE_S + life_s(options))]
    if not options.hold:
        end = ["--request-count", str(options.streams)]
    rate = ["--connect-rate", str(options.connect_rate)] if options.connect_rate else []
    workers = ["--workers-max", str(options.workers)] if options.workers else []
    print(f"aiperf: {options.streams:,} streams from {addresses} addresses", flush=True)
    return [
        *AIPERF, "profile", "-m", "mock", "--tokenizer", "builtin", "--streaming", "--use-server-token-count",
        *(word for url in urls for word in ("--url", url)), "--source-address", source_addresses(addresses),
        "--isl", "8", "--concurrency", str(options.streams), *end, *rate, *workers, "--ui", "none",
        "--export-level", "records", "--artifact-dir", str(folder / "artifacts"),
    ]  # fmt: skip


def life_s(options: argparse.Namespace) -> float:
    """How long one stream lasts."""
    return float(options.ttft + options.itl * (options.tokens - 1))


# Samples


def tree(pid: int) -> Iterator[int]:
    """The process and all below it."""
    yield pid
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from tree(int(child))


def pss_bytes(pid: int) -> int:
    """0 for a process that is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def children_cpu_s() -> float:
    """Of all processes below this one that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def open_sockets() -> int:
    """TCP sockets of this network namespace; a connection on loopback is two."""
    words = Path("/proc/net/sockstat").read_text().partition("TCP:")[2].split()
    return int(words[words.index("inuse") + 1])


@dataclass(slots=True)
class Samples:
    """What was seen while the run lasted: highest values."""

    sockets_before: int = field(default_factory=open_sockets)
    aiperf_bytes: int = 0
    server_bytes: int = 0
    processes: int = 0
    connections: int = 0
    aiperf_cpu_s: float = 0.0
    server_cpu_s: float = 0.0

    def count_connections(self) -> int:
        """Those open now."""
        now = (open_sockets() - self.sockets_before) // 2
        self.connections = max(self.connections, now)
        return now

    def weigh(self, run: int, server: int) -> None:
        pids = list(tree(run))
        self.processes = max(self.processes, len(pids))
        self.aiperf_bytes = max(self.aiperf_bytes, sum(map(pss_bytes, pids)))
        self.server_bytes = max(self.server_bytes, sum(map(pss_bytes, tree(server))))


def watched(command: list[str], server: subprocess.Popen, limit_s: float, *, verbose: bool) -> tuple[Samples, float]:
    """Runs the benchmark and samples it. Raises: SystemExit if it fails."""
    samples, began, clock = Samples(), time.monotonic(), time.monotonic
    cpu_before_s = children_cpu_s()
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    shown = weighed = began
    pause_s = WEIGHING_PAUSES_S[0]
    try:
        while run.poll() is None:
            if clock() - began > limit_s:
                raise SystemExit(f"the run did not end within {limit_s:,.0f} s")
            connections = samples.count_connections()
            if clock() - weighed > pause_s:
                weighed = clock()
                samples.weigh(run.pid, server.pid)
                pause_s = min(max((clock() - weighed) / SAMPLE_COST_MAX, WEIGHING_PAUSES_S[0]), WEIGHING_PAUSES_S[1])
            if verbose and clock() - shown > SHOWN_EVERY_S:
                shown = clock()
                memory = f"{samples.aiperf_bytes / BYTES_PER_MB:,.0f} MB"
                print(f"  {shown - began:5.0f} s: {connections:,} connections, {memory}", flush=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(COUNTED_EVERY_S)
    finally:
        if run.poll() is None:
            run.send_signal(signal.SIGTERM)
            run.wait()
    samples.aiperf_cpu_s = children_cpu_s() - cpu_before_s
    if run.returncode:
        raise SystemExit(f"the run failed with exit code {run.returncode}")
    return samples, clock() - began


# The join


class TruthRow(msgspec.Struct):
    request_id: str
    received_ns: int
    sent_ns: list[int]
    after_ns: list[int]


class Value(msgspec.Struct):
    value: float


class Metadata(msgspec.Struct):
    x_request_id: str


class Metrics(msgspec.Struct):
    time_to_first_token: Value | None = None


class Error(msgspec.Struct):
    kind: str


class Line(msgspec.Struct):
    """Of `profile_export.jsonl`."""

    metadata: Metadata
    metrics: Metrics
    error: Error | None = None


@dataclass(slots=True)
class Joined:
    requests: int
    errors: Counter[str]
    at_once: int
    """Streams in service at the same time, by the servers' clocks."""
    ttft_errors_ms: np.ndarray


def rows(paths: list[Path], kind: type[msgspec.Struct]) -> Iterator:
    decode = msgspec.json.Decoder(kind).decode
    for path in paths:
        with path.open("rb") as file:
            yield from map(decode, file)


def joined(folder: Path) -> Joined:
    ttft_by_id: dict[str, int] = {}
    begins, ends = [], []
    for row in rows(sorted(folder.glob("truth*")), TruthRow):
        if row.sent_ns:
            ttft_by_id[row.request_id] = row.sent_ns[0] - row.received_ns
            begins.append(row.received_ns)
            ends.append(row.after_ns[-1])
    errors: Counter[str] = Counter()
    request_count, differences = 0, []
    for line in rows(list((folder / "artifacts").glob("*/profile_export.jsonl")), Line):
        request_count += 1
        if line.error is not None:
            errors[line.error.kind] += 1
        true_ns = ttft_by_id.get(line.metadata.x_request_id)
        if line.metrics.time_to_first_token is not None and true_ns is not None:
            differences.append(line.metrics.time_to_first_token.value - true_ns / NS_PER_MS)
    # Ends first: of two at the same instant one takes the other's place.
    instants = np.concatenate((np.array(ends, np.int64), np.array(begins, np.int64)))
    steps = np.concatenate((-np.ones(len(ends), np.int64), np.ones(len(begins), np.int64)))
    at_once = int(np.cumsum(steps[np.argsort(instants, kind="stable")]).max(initial=0))
    return Joined(request_count, errors, at_once, np.array(differences))


def report(samples: Samples, took_s: float, found: Joined, folder: Path) -> None:
    (path,) = (folder / "artifacts").glob("*/profile_export_aiperf.json")
    verdict = json.loads(path.read_bytes())["verdict"]
    error_count = sum(found.errors.values())
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in found.errors.most_common()) or "none"
    print(f"requests            {found.requests:,} in {took_s:,.0f} s, {error_count:,} of them failed")
    print(f"errors              {kinds}")
    print(f"open at once        {samples.connections:,} connections; {found.at_once:,} streams in service")
    print(f"memory, all aiperf  {samples.aiperf_bytes / BYTES_PER_MB:,.0f} MB PSS in {samples.processes} processes")
    print(f"memory, mock server {samples.server_bytes / BYTES_PER_MB:,.0f} MB PSS")
    print(f"CPU                 aiperf {samples.aiperf_cpu_s:,.0f} s, mock server {samples.server_cpu_s:,.0f} s")
    if len(found.ttft_errors_ms):
        p50, p99, most = np.percentile(np.abs(found.ttft_errors_ms), (50, 99, 100))
        print(f"TTFT error          p50 {p50:.3f} ms, p99 {p99:.3f} ms, max {most:.3f} ms "
              f"({len(found.ttft_errors_ms):,} requests joined)")  # fmt: skip
    print(f"verdict             {verdict['status']}")
    for reason in verdict.get("reasons", ()):
        print(f"                    {reason['text'] if isinstance(reason, dict) else reason}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=20_000, help="kept open at the same time")
    parser.add_argument("--ttft", type=float, default=10, metavar="S")
    parser.add_argument("--itl", type=float, default=5, metavar="S")
    parser.add_argument("--tokens", type=int, default=5)
    parser.add_argument("--hold", type=float, default=0, metavar="S", help="new streams follow for so long (0: none)")
    parser.add_argument("--connect-rate", type=float, metavar="R", help="connections a second (default: aiperf's)")
    parser.add_argument("--addresses", type=int, metavar="N", help="to connect from (default: as many as are needed)")
    parser.add_argument("--servers", type=int, default=1, metavar="N", help="addresses of the mock server")
    parser.add_argument("--processes", type=int, metavar="N", help="of the mock server (default: by open files)")
    parser.add_argument("--grain", type=float, default=5, metavar="MS", help="of the mock server (its own flag)")
    parser.add_argument("--workers", type=int, metavar="N", help="at most (default: aiperf's choice)")
    parser.add_argument("--here", action="store_true", help="in this network, not in one of its own")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if os.environ.get(IN_NAMESPACE):
        prepare_namespace()
    elif not options.here:
        enter_namespace()
        print("no network namespace to be had: limits are those of this machine's own network")
    backlog = Path("/proc/sys/net/core/somaxconn").read_text().strip()
    print(f"network: {'its own' if os.environ.get(IN_NAMESPACE) else 'shared'}, accept queues up to {backlog}")
    connecting_s = options.streams / (options.connect_rate or 5_000)
    if connecting_s > life_s(options):
        print(f"connecting takes {connecting_s:,.0f} s and a stream {life_s(options):,.0f} s: never all at once")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard) if soft != hard else (soft, hard))
    limit_s = connecting_s + life_s(options) + options.hold + PATIENCE_S
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server, urls = started_server(options, folder)
        try:
            samples, took_s = watched(
                profile_command(options, urls, folder), server, limit_s, verbose=not options.quiet
            )
        finally:
            cpu_before_s = children_cpu_s()
            server.send_signal(signal.SIGTERM)
            server.wait()
        samples.server_cpu_s = children_cpu_s() - cpu_before_s
        report(samples, took_s, joined(folder), folder)


if __name__ == "__main__":
    main()
