"""The kernel's timers as descriptors (Linux), by ctypes: `os.timerfd_create` came with Python 3.13.

Owns: the three system calls. Does not own: what a timer is for (`timer`, `wall_clock`).
"""

import ctypes
import os
import sys
from ctypes import POINTER, Structure, byref, c_int, c_long

from aiperf.units import NS_PER_S

CLOCK_REALTIME = 0
CLOCK_MONOTONIC = 1
ABSOLUTE = 1
CANCEL_ON_SET = 2
"""Reading fails with ECANCELED once the real-time clock was set. Source: timerfd_create(2)."""
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


class _Timespec(Structure):
    _fields_ = (("seconds", c_long), ("nanoseconds", c_long))


class _Itimerspec(Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
if _libc is not None:
    _libc.timerfd_create.argtypes = (c_int, c_int)
    _libc.timerfd_settime.argtypes = (c_int, c_int, POINTER(_Itimerspec), POINTER(_Itimerspec))


class TimerDescriptor:
    """One kernel timer. Raises: OSError on making it where the platform has none."""

    __slots__ = ("_descriptor", "_setting")

    def __init__(self, clock_id: int) -> None:
        if _libc is None:
            raise OSError("no timerfd on this platform")
        self._descriptor: int = _libc.timerfd_create(clock_id, _NONBLOCK_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._setting = _Itimerspec()

    def fileno(self) -> int:
        return self._descriptor

    def set(self, at_ns: int, flags: int) -> None:
        """Fires once at `at_ns` on the timer's clock, at once if that is past."""
        assert _libc is not None
        value = self._setting.value
        value.seconds, value.nanoseconds = divmod(at_ns, NS_PER_S)
        if _libc.timerfd_settime(self._descriptor, flags, byref(self._setting), None) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def has_fired(self) -> bool:
        """Takes note of an expiration. Raises: OSError with ECANCELED after the clock was set (`CANCEL_ON_SET`)."""
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        os.close(self._descriptor)
