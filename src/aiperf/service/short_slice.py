"""Short turns on the CPU: a worker that has to share its core gets on it sooner, for less at a time.

Owns: asking the kernel for it. Does not own: who asks (the host of a worker).

Since Linux 6.12 a thread of the ordinary scheduling class may say how long its turns are to be (`sched_runtime` of
`sched_setattr`, 0.1 to 100 ms; the usual is some milliseconds). It gets the same share of the CPU. But its next turn is
due sooner, so when it wakes up it goes before those whose turns are long. What a worker does between two waits takes a
fraction of a millisecond, and what is late on it is chunks that then share a read. No right is needed.
Measured (benchmarks/short_slices.py) on a core that two others want all of: in four rounds of five its lateness at p99
fell by a quarter to a third.
Source: Linux, Documentation/scheduler/sched-eevdf.rst; sched_setattr(2).
"""

import ctypes
import logging
import os
import platform
import sys

log = logging.getLogger(__name__)

SLICE_NS = 100_000
"""The shortest that the kernel grants."""

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""The number of the system call, which the C library has no function for."""


class _SchedAttr(ctypes.Structure):
    """`struct sched_attr` in its first version."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def ask_for_short_slices() -> bool:
    """Asks for the calling thread and those that it starts from now on; False if the kernel will not, or has not."""
    number = _SCHED_SETATTR.get(platform.machine())
    if sys.platform != "linux" or number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    attributes = _SchedAttr(
        size=ctypes.sizeof(_SchedAttr),
        policy=os.SCHED_OTHER,
        nice=os.getpriority(os.PRIO_PROCESS, 0),
        runtime=SLICE_NS,
    )
    refused = ctypes.CDLL(None, use_errno=True).syscall(number, 0, ctypes.byref(attributes), 0)
    if refused:
        log.info("no short time slices: %s", os.strerror(ctypes.get_errno()))
    return not refused
