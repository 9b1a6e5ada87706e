"""Short time slices are had where the kernel gives them, and are no trouble where it does not."""

import ctypes
import os
import platform
import re
import subprocess
import sys

import pytest

from aiperf.service import short_slice

ASKED_BY_A_PROCESS_OF_ITS_OWN = "from aiperf.service.short_slice import ask_for_short_slices as ask\nprint(ask())\n"
SHOWS_ITS_SLICE = "print(open('/proc/self/sched').read())"


def output_of(program: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
    )
    return run.stdout


def test_the_kernel_grants_them_without_any_right() -> None:
    if sys.platform != "linux" or platform.machine() not in short_slice._SCHED_SETATTR:
        assert not short_slice.ask_for_short_slices()
        return
    output = output_of(ASKED_BY_A_PROCESS_OF_ITS_OWN + SHOWS_ITS_SLICE)
    assert output.startswith("True")
    shown = re.search(r"se\.slice\s*:\s*(\d+)", output)
    if shown is not None:  # kernels before 6.12 take the request and know nothing of it
        assert int(shown[1]) == short_slice.SLICE_NS


def test_a_thread_of_another_class_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getscheduler", lambda _pid: os.SCHED_BATCH)
    assert not short_slice.ask_for_short_slices()


def test_a_refusal_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def syscall(self, *_: object) -> int:
            ctypes.set_errno(1)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Refusing())
    assert not short_slice.ask_for_short_slices()
