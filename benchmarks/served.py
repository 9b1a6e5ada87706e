"""The built-in server, for as long as a block lasts.

Owns: starting it on a free port, holding it to a core, ending it so that its log is whole.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def mock_server(*flags: str, core: int | None = None) -> Iterator[str]:
    """The URL of a server with these flags. Its truth log is complete after the block."""
    command = [sys.executable, "-m", "aiperf", "mock-server", "--port", "0", *flags]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if core is not None:
            os.sched_setaffinity(server.pid, {core})
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        assert server.stdout is not None
        server.stdout.close()
