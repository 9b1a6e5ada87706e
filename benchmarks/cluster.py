"""Runs of `aiperf profile --kubernetes` on the test cluster: start, truth, many streams, results home.

    python benchmarks/cluster.py start            # from the command to the first request, and the clean-up
    python benchmarks/cluster.py truth            # 500 streams, ITL 20 ms, 60 s, against the server's own log
    python benchmarks/cluster.py streams          # 100,000 slow streams for five minutes
    python benchmarks/cluster.py results          # a gigabyte of artifacts, by each way that this cluster has

Needs the harness's cluster, up, with the current image (docs/testing-kubernetes.md: `python -m tests.kubernetes.cluster
up`, `load-image`), and root, since it reads the memory of the pods' control groups. The mock server runs beside the
cluster, on this machine's side of the link. Memory is what Kubernetes counts as a pod's working set: the usage of its
control group less inactive file pages; the highest sum over all pods of the run that was seen.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from peers.ours import Ours
from truth_join import errors_of, pairs

from aiperf.mock.truth import read_rows, read_truth

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = "10.197.0.1"
IMAGE = os.environ.get("AIPERF_CLUSTER_IMAGE", "localhost/aiperf:test")
LOOK_S = 2.0


def harness(*words: str) -> str:
    command = (sys.executable, "-m", "tests.kubernetes.cluster", *words)
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def mock_server(*flags: str) -> Iterator[str]:
    """Its URL, as pods see it."""
    command = (sys.executable, "-m", "aiperf", "mock-server", "--host", ADDRESS, "--port", "0", *flags)
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().rpartition(" ")[2].strip()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        server.stdout.close()


class Watch(threading.Thread):
    """Looks at the run's pods from outside: memory in all, and by process."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.most_bytes = 0
        self.pods = 0
        self.resident: dict[str, int] = {}
        """By host, the most it had."""

    def run(self) -> None:
        while not self.over.wait(LOOK_S):
            groups = set()
            for process in psutil.process_iter(["pid", "cmdline"]):
                words = process.info["cmdline"] or []
                if "service" not in words or "--run-dir" not in words or "/run/aiperf" not in words:
                    continue
                try:
                    host = words[words.index("--host") + 1]
                    self.resident[host] = max(self.resident.get(host, 0), process.memory_info().rss)
                    groups.add(_pod_group(process.pid))
                except (OSError, psutil.Error):
                    continue  # it ended meanwhile
            self.pods = max(self.pods, len(groups))
            self.most_bytes = max(self.most_bytes, sum(map(_working_set, groups)))


def _pod_group(pid: int) -> Path:
    """The memory control group of the pod that a process is in, of version 1 or 2."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return (Path("/sys/fs/cgroup/memory") / path.lstrip("/")).parent
    return (Path("/sys/fs/cgroup") / path.lstrip("/")).parent


def _working_set(group: Path) -> int:
    usage, name = group / "memory.usage_in_bytes", "total_inactive_file"
    if not usage.exists():
        usage, name = group / "memory.current", "inactive_file"
    try:
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int(usage.read_text()) - int(stat[name])
    except OSError:
        return 0


class Run:
    """One run, to its end; `told` is what the command said, a line with its second each."""

    def __init__(self, folder: Path, url: str, *flags: str) -> None:
        command = (
            *(sys.executable, "-m", "aiperf", "profile", "--kubernetes", "--image", IMAGE, "-m", "mock", "-u", url),
            *("--tokenizer", "builtin", "--use-server-token-count", "--streaming", "--isl", "32", "--ui", "simple"),
            *("--artifact-dir", str(folder / "artifacts"), *flags),
        )
        self.watch = Watch()
        self.watch.start()
        self.told: list[tuple[float, str]] = []
        began_s, self.began_ns = time.monotonic(), time.time_ns()
        environment = os.environ | {"KUBECONFIG": harness("kubeconfig")}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stderr is not None
        assert process.stdout is not None
        for line in process.stderr:
            self.told.append((time.monotonic() - began_s, line.rstrip()))
            print(f"    {self.told[-1][0]:6.1f} s  {line.rstrip()[:150]}", flush=True)
        print(process.stdout.read())
        self.code = process.wait()
        self.took_s = time.monotonic() - began_s
        self.watch.over.set()
        self.watch.join()
        if self.code:
            raise SystemExit(f"the run ended with exit code {self.code}")
        (self.results,) = (folder / "artifacts").iterdir()
        self.summary = json.loads((self.results / "profile_export_aiperf.json").read_bytes())

    def memory(self) -> str:
        kinds: dict[str, list[int]] = {}
        for host, size in self.watch.resident.items():
            kinds.setdefault(re.sub(r"-\d+$", "", host), []).append(size)
        each = ", ".join(f"{kind} {max(sizes) / 1e6:.0f} MB RSS at most" for kind, sizes in sorted(kinds.items()))
        return f"{self.watch.most_bytes / 2**20:,.0f} MiB in {self.watch.pods} pods ({each})"


def start(folder: Path) -> None:
    """Ten requests. The first one's arrival is in the server's log, on the same clock as the command's start."""
    log = folder / "truth"
    with mock_server("--ttft", "50", "--itl", "5", "--truth-log", str(log)) as url:
        run = Run(folder, url, "--concurrency", "1", "--request-count", "10", "--osl", "5")
    first_ns = min(row.received_ns for row in read_truth(log).values())
    last_ns = max(row.sent_ns[-1] for row in read_truth(log).values())
    end_ns = run.began_ns + run.took_s * 1e9
    print(f"first request {(first_ns - run.began_ns) / 1e9:.1f} s after the command")
    print(f"from the last token to the end of the command, results home and clean-up: {(end_ns - last_ns) / 1e9:.1f} s")


def truth(folder: Path) -> None:
    with mock_server("--ttft", "200", "--itl", "20", "--truth-log", str(folder / "truth")) as url:
        run = Run(folder, url, "--concurrency", "500", "--duration", "60", "--osl", "50")
    joined = pairs(Ours().samples(folder), read_rows(folder / "truth"))
    errors = errors_of(joined, widths_claimed=True)
    print(f"errors in ms: {errors}")
    print(f"memory: {run.memory()}")


def streams(folder: Path, count: int, duration_s: int) -> None:
    # The server shares two cores with all pods: it wakes 200 times a second, not for each chunk.
    latency = ("--ttft", "10000", "--itl", "5000", "--grain", "5")
    flags = (*latency, "--processes", str(max(1, count // 16_000)))
    with mock_server(*flags) as url:
        load = (
            "--concurrency",
            str(count),
            "--duration",
            str(duration_s),
            "--osl",
            "12",
            "--request-timeout-seconds",
            "200",
        )
        # The starts are spread over a whole request, so that chunks come evenly, as they would with many clients.
        run = Run(folder, url, *load, "--benchmark-grace-period", "90", "--concurrency-ramp-duration", "65")
    print(f"verdict {run.summary['verdict']['status']}, errors: {run.summary['error_summary']}")
    print(f"in flight on average: {run.summary['effective_concurrency']}")
    print(f"TTFT: {run.summary['time_to_first_token']}")
    print(f"memory: {run.memory()}")
    print(f"artifacts: {sum(file.stat().st_size for file in run.results.rglob('*') if file.is_file()) / 1e6:.0f} MB")


def results(folder: Path) -> None:
    """A run with long prompts whose payloads are exported, fetched again and again while its controller lingers."""
    environment = os.environ | {"KUBECONFIG": harness("kubeconfig")}
    aiperf = (sys.executable, "-m", "aiperf")
    with mock_server("--ttft", "5", "--itl", "1") as url:
        command = (
            *(*aiperf, "profile", "--kubernetes", "--image", IMAGE, "-m", "mock", "-u", url, "--streaming", "--detach"),
            *(
                "--tokenizer",
                "builtin",
                "--use-server-token-count",
                "--isl",
                "5000",
                "--osl",
                "4",
                "--concurrency",
                "64",
            ),
            *("--request-count", "36000", "--export-level", "raw", "--ttl-seconds", "600", "--skip-preflight"),
        )
        run_id = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout.split()[
            -1
        ]
        try:
            for turn, way in enumerate(
                ("port-forward", "port-forward", "direct", "proxy", "port-forward", "direct", "proxy")
            ):
                target = folder / f"{turn}"
                fetch = (*aiperf, "kube", "results", run_id, "--output", str(target), "--api-access", way)
                began_s = time.monotonic()
                subprocess.run(fetch, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
                took_s = time.monotonic() - began_s
                size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
                note = " (waits for the run's end, too)" if not turn else ""
                print(f"{way}: {size / 1e9:.2f} GB in {took_s:.1f} s, the command's start included{note}", flush=True)
                shutil.rmtree(target)
        finally:
            subprocess.run((*aiperf, "kube", "cleanup", run_id, "--all"), check=True, env=environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["start", "truth", "streams", "results"])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--duration", type=int, default=300)
    arguments = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} before")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        match arguments.what:
            case "start":
                start(folder)
            case "truth":
                truth(folder)
            case "results":
                results(folder)
            case "streams":
                streams(folder, arguments.count, arguments.duration)


if __name__ == "__main__":
    main()
