"""How much longer than the ideal a small job takes, from command start to exit, and how long `--help` takes.

    python benchmarks/startup.py [--repeat 5]

The job: 10 requests, one after another, against a server that answers after 115 ms: 1.15 s are the ideal.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

AIPERF = [sys.executable, "-m", "aiperf"]
TTFT_MS, REQUESTS = 115, 10


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def line(name: str, values: list[float]) -> None:
    print(f"{name:34} median {statistics.median(values):.3f} s   of {', '.join(f'{value:.3f}' for value in values)}")


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
        more, helps, command_helps = [], [], []
        for _ in range(options.repeat):
            with tempfile.TemporaryDirectory() as folder:
                more.append(seconds([*job, folder]) - REQUESTS * TTFT_MS / 1e3)
            helps.append(seconds([*AIPERF, "--help"]))
            command_helps.append(seconds([*AIPERF, "profile", "--help"]))
    finally:
        mock.terminate()
        mock.wait()
    line("small job, more than the ideal", more)
    line("aiperf --help", helps)
    line("aiperf profile --help", command_helps)


if __name__ == "__main__":
    main()
