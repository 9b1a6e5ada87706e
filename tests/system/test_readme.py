"""What README.md says a person can type, typed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def start_demo(folder, *flags):
    command = [sys.executable, str(DEMO), "--artifact-dir", str(folder), *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_the_demo_shows_results_and_names_the_artifacts(tmp_path):
    demo = start_demo(tmp_path, "--request-count", "48")
    stdout, stderr = demo.communicate(timeout=90)
    assert demo.returncode == 0, stderr
    assert stdout.startswith("$ aiperf profile --url http://127.0.0.1:")
    for text in ("Time to first token", "48 succeeded", "Verdict", str(tmp_path)):
        assert text in stdout
    assert "48 done" in stderr


def test_ctrl_c_in_the_demo_ends_the_benchmark_in_order(tmp_path):
    demo = start_demo(tmp_path, "--request-count", "100000")
    while not any("RUNNING" in log.read_text() for log in tmp_path.glob("*/logs/aiperf.log")):
        assert demo.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(demo.pid, signal.SIGINT)  # as the terminal does: to the demo, the benchmark and whoever else is there
    _, stderr = demo.communicate(timeout=90)
    assert demo.returncode == 130
    assert "Traceback" not in stderr
    assert "failed" not in stderr.replace("0 failed", "")
    assert "interrupted; the results so far are in the artifacts" in stderr
