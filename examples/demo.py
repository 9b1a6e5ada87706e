"""`make demo`: starts the built-in mock server, runs a streaming benchmark against it, shows the results.

python examples/demo.py [more flags of `aiperf profile`]
"""

import subprocess
import sys

AIPERF = [sys.executable, "-m", "aiperf"]
SERVER = [
    *AIPERF,
    "mock-server",
    "--port",
    "0",
    "--ttft",
    "120",
    "--itl",
    "12",
    "--latency",
    "lognormal",
    "--tokens",
    "60",
]
BENCHMARK = [
    "--model",
    "demo-model",
    "--streaming",
    "--concurrency",
    "24",
    "--request-count",
    "240",
    "--osl",
    "60",
    "--tokenizer",
    "builtin",
]


def main() -> int:
    """Runs the benchmark; returns its exit code."""
    server = subprocess.Popen(SERVER, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        words = server.stdout.readline().split()
        if not words:
            print("the mock server did not start", file=sys.stderr)
            return 3
        command = [*AIPERF, "profile", "--url", words[-1], *BENCHMARK, *sys.argv[1:]]
        print("$", " ".join(["aiperf", *command[len(AIPERF) :]]), flush=True)
        return subprocess.call(command)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
