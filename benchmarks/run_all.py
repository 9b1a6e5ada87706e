"""Runs every benchmark in turn, with repeats that fit into about half an hour, and prints all they print.

    python benchmarks/run_all.py [NAME ...]

Of aiperf alone: what compares it with other tools takes hours (`--tools all`, see `README.md`), and so do connections
by the hundred thousand. Names are those of the scripts without `.py`; all of them if none is given. The exit code is 1
if one failed.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent

SCRIPTS: dict[str, list[str]] = {
    "pipeline_cost": ["--repeat", "3"],
    "startup": ["--repeat", "5"],
    "memory": ["--itl", "60"],
    "connection_memory": [],
    "install_size": [],
    "truth": ["--repeat", "1"],
    "precision": ["--repeat", "1"],
    "http_client": [],
    "record_assembly": [],
    "request_lines": [],
    "partial_cost": [],
    "schedule_cost": [],
    "controller_cost": [],
    "mock_server_cost": [],
    "api_transfer": ["--mb", "300"],
}
"""In the order of `README.md`, with the arguments of a modest run."""


def run(name: str) -> bool:
    """Whether the script ended well."""
    arguments = SCRIPTS[name]
    print(f"\n== {' '.join([f'{name}.py', *arguments])}", flush=True)
    started = time.perf_counter()
    code = subprocess.call([sys.executable, str(FOLDER / f"{name}.py"), *arguments])
    print(f"-- {'done' if not code else f'failed with exit code {code}'} after {time.perf_counter() - started:.0f} s")
    return not code


def main() -> int:
    names = sys.argv[1:] or list(SCRIPTS)
    unknown = [name for name in names if name not in SCRIPTS]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(SCRIPTS)}", file=sys.stderr)
        return 2
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}, load average {load:.1f} before the first one")
    results = [run(name) for name in names]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
