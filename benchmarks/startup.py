"""How much longer than the ideal a small job takes, from command start to exit, and how long `--help` takes.

    python benchmarks/startup.py [--repeat 5]

The job: 10 requests, one after another, against a server that answers after 115 ms: 1.15 s are the ideal. CPU time is
that of the command with all its processes: unlike the wall time it hardly depends on what else the machine does.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

AIPERF = [sys.executable, "-m", "aiperf"]
TTFT_MS, REQUESTS = 115, 10


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall time and CPU time of the command."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    return wall_s, usage.ru_utime + usage.ru_stime


def line(name: str, runs: list[tuple[float, float]], ideal_s: float = 0.0) -> None:
    walls, cpus = [wall - ideal_s for wall, _ in runs], [cpu for _, cpu in runs]
    print(
        f"{name:34} median {statistics.median(walls):.3f} s   of {', '.join(f'{value:.3f}' for value in walls)}"
        f"   CPU {statistics.median(cpus):.3f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    mock = subprocess.Popen(
        [*AIPERF, "mock-server", "--port", "0", "--ttft", str(TTFT_MS), "--itl", "0", "--tokens", "1"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = mock.stdout.readline().split()[-1]
        job = [*AIPERF, "profile", "-m", "mock", "-u", url, "--streaming", "--concurrency", "1"]
        job += ["--request-count", str(REQUESTS), "--ui", "none", "--artifact-dir"]
        jobs, helps, command_helps = [], [], []
        for _ in range(options.repeat):
            with tempfile.TemporaryDirectory() as folder:
                jobs.append(seconds([*job, folder]))
            helps.append(seconds([*AIPERF, "--help"]))
            command_helps.append(seconds([*AIPERF, "profile", "--help"]))
    finally:
        mock.terminate()
        mock.wait()
    line("small job, more than the ideal", jobs, REQUESTS * TTFT_MS / 1e3)
    line("aiperf --help", helps)
    line("aiperf profile --help", command_helps)


if __name__ == "__main__":
    main()
