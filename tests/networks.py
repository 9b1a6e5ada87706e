"""A network of its own for one test: nothing of the machine is in it but loopback, and its settings may be changed.

Linux only, and only for those who may make one (root, in most places); elsewhere the test that needs it is skipped.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


@contextmanager
def own_network(**settings: str) -> Iterator[None]:
    """This thread, and those it starts, live in a new network namespace. `settings`: of net.ipv4, by name."""
    if sys.platform != "linux":
        pytest.skip("network namespaces are Linux's")
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as home:
        if libc.unshare(_CLONE_NEWNET):
            pytest.skip(f"no network namespace to be had: {os.strerror(ctypes.get_errno())}")
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
            for name, value in settings.items():
                Path("/proc/sys/net/ipv4", name).write_text(value)
            yield
        finally:
            if libc.setns(home.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot return from the network namespace")
