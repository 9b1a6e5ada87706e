"""The run of `benchmarks/twenty_million.py`, in small: its simulated client still is what a worker wants."""

import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "twenty_million.py"
REQUESTS = 20_000


def test_a_simulated_run_ends_with_every_request_accounted_for(tmp_path: Path) -> None:
    command = [sys.executable, BENCHMARK, "--requests", str(REQUESTS), "--rate", "20000", "--folder", tmp_path]
    told = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert f"{REQUESTS:,} requests in" in told.stdout, told.stdout + told.stderr
    # Whether memory comes to rest (the exit code) shows only after millions of requests.
    assert "do not reconcile" not in told.stdout, told.stdout
