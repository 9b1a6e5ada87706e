"""`make demo`: starts the built-in mock server, runs a streaming benchmark against it, shows the results.

python examples/demo.py [flags of `aiperf profile`, which add to those below or replace them]
"""

import signal
import subprocess
import sys

AIPERF = [sys.executable, "-m", "aiperf"]
SERVER = [*AIPERF, "mock-server", "--ttft", "120", "--itl", "12", "--latency", "lognormal", "--tokens", "60"]
BENCHMARK = (
    ("--model", "demo-model"),
    ("--streaming",),
    ("--concurrency", "24"),
    ("--request-count", "240"),
    ("--osl", "60"),
    ("--tokenizer", "builtin"),
)


def main() -> int:
    """Runs the benchmark; returns its exit code."""
    # Ctrl-C is for the benchmark, which ends in order. Until then it needs its server, and this waits.
    signal.signal(signal.SIGINT, lambda *_: None)
    server = subprocess.Popen(SERVER, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert server.stdout is not None
        words = server.stdout.readline().split()
        if not words:
            print("the mock server did not start", file=sys.stderr)
            return 3
        given = sys.argv[1:]
        flags = [word for flag in BENCHMARK if flag[0] not in given for word in flag] + given
        command = [*AIPERF, "profile", "--url", words[-1], *flags]
        print("$", " ".join(["aiperf", *command[len(AIPERF) :]]), flush=True)
        return subprocess.call(command)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
