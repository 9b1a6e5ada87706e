"""The meter of the benchmarks counts every process that comes of a command, and ends what takes too long."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest
from metered import CommandError, metered

BURNT_S = 0.3
ORPHAN = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while time.process_time() < {BURNT_S}: pass
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere orphans go to process 1")
def test_an_orphan_that_outlives_its_command_is_counted(tmp_path: Path) -> None:
    with metered([sys.executable, "-c", ORPHAN], tmp_path, os.environ, limit_s=60) as run:
        cost = run.cost()
    assert cost.exit_code == 0
    assert cost.cpu_s >= BURNT_S


def test_a_command_that_takes_too_long_is_ended_with_its_children_and_says_so(tmp_path: Path) -> None:
    script = "import subprocess; subprocess.run(['sleep', '61.5'])"
    run_of_it = metered([sys.executable, "-c", script], tmp_path, os.environ, limit_s=2)
    with run_of_it as run, pytest.raises(CommandError, match="not done after 2 s"):
        run.cost()
    assert not [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", "61.5"]]


def test_a_command_that_fails_is_quoted(tmp_path: Path) -> None:
    script = "import sys; print('no such model', file=sys.stderr); sys.exit(3)"
    run_of_it = metered([sys.executable, "-c", script], tmp_path, os.environ, limit_s=60)
    with run_of_it as run, pytest.raises(CommandError, match=r"exit code 3\nno such model"):
        run.cost()


def test_leaving_the_block_ends_what_still_runs(tmp_path: Path) -> None:
    with metered(["sleep", "62.5"], tmp_path, os.environ, limit_s=60) as run:
        deadline = time.monotonic() + 30
        while run.pid() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        pid = run.pid()
    assert pid is not None
    assert not psutil.pid_exists(pid)
