"""Memory of a whole run: the proportional set size of every process, sampled while it runs.

    python benchmarks/memory.py [demo|streams|both] [--itl MS]

PSS counts a page that n processes share as 1/n to each, so that the sum over processes is what the run really takes
(the hosts of a run are forked from the command and share what it had imported). Peaks of single processes need not
fall into the same instant; the peak in all is that of the sums.

    demo:    examples/demo.py, its mock server included
    streams: 2,000 streams of 1,000 chunks of 250 bytes, all in flight together; the mock server runs apart, uncounted
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

AIPERF = [sys.executable, "-m", "aiperf"]
DEMO = Path(__file__).parent.parent / "examples" / "demo.py"
INTERVAL_S = 0.2
STREAMS, CHUNKS, CHUNK_BYTES = 2_000, 1_000, 250
BYTES_PER_MB = 1e6


def pss_bytes(pid: int) -> int:
    """0 for a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def tree(pid: int) -> Iterator[int]:
    """The process and all below it, parents first, siblings in the order of their start."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in sorted(map(int, children)):
        yield from tree(child)


def role_of(pid: int, artifact_dir: Path) -> str:
    """Hosts are forks, and forks look alike: the run's log tells which host has which pid."""
    for log in artifact_dir.glob("*/logs/aiperf.log"):
        for line in log.read_text().splitlines():
            name, bracket, _ = line.partition(f"[{pid}]")
            if bracket:
                return name.split()[-1]
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return "?"
    return next((word for word in ("mock-server", "profile") if word in words), "starter")


def measure(name: str, command: list[str], artifact_dir: Path) -> None:
    """Runs the command and prints the peaks of its processes."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peaks: dict[int, int] = defaultdict(int)
    roles: dict[int, str] = {}
    together = with_mock = 0
    while process.poll() is None:
        sizes = {pid: pss_bytes(pid) for pid in tree(process.pid)}
        for pid, size in sizes.items():
            peaks[pid] = max(peaks[pid], size)
            if roles.get(pid, "profile") in ("profile", "?"):
                roles[pid] = role_of(pid, artifact_dir)
        own = sum(size for pid, size in sizes.items() if roles[pid] not in ("mock-server", "starter"))
        together = max(together, own)
        with_mock = max(with_mock, sum(sizes.values()))
        time.sleep(INTERVAL_S)
    if process.returncode:
        raise SystemExit(f"the run failed with exit code {process.returncode}")
    for pid, peak in peaks.items():
        print(f"{name:8} {roles[pid]:20} peak {peak / BYTES_PER_MB:6.1f} MB")
    print(f"{name:8} {'all of aiperf':20} peak {together / BYTES_PER_MB:6.1f} MB")
    if with_mock > together:
        print(f"{name:8} {'with the mock server':20} peak {with_mock / BYTES_PER_MB:6.1f} MB")


def measure_demo() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(DEMO), "--ui", "none", "--log-level", "info", "--artifact-dir", folder]
        measure("demo", command, Path(folder))


def measure_streams(itl_ms: int) -> None:
    behaviour = ["--ttft", "1000", "--itl", str(itl_ms), "--tokens", str(CHUNKS), "--chunk-bytes", str(CHUNK_BYTES)]
    mock = subprocess.Popen([*AIPERF, "mock-server", "--port", "0", *behaviour], stdout=subprocess.PIPE, text=True)
    try:
        url = mock.stdout.readline().split()[-1]
        with tempfile.TemporaryDirectory() as folder:
            command = [*AIPERF, "profile", "-m", "mock", "--tokenizer", "builtin", "-u", url, "--streaming",
                       "--isl", "16", "--concurrency", str(STREAMS), "--request-count", str(STREAMS),
                       "--ui", "none", "--log-level", "info", "--artifact-dir", folder]  # fmt: skip
            measure("streams", command, Path(folder))
    finally:
        mock.terminate()
        mock.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["demo", "streams", "both"], default="both")
    parser.add_argument("--itl", type=int, default=80, metavar="MS", help="time between chunks: how long they last")
    options = parser.parse_args()
    if options.what != "streams":
        measure_demo()
    if options.what != "demo":
        measure_streams(options.itl)


if __name__ == "__main__":
    main()
