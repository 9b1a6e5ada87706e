"""A way to make a selector ready from outside: from another thread, or for work that no socket announces."""

import socket
from contextlib import suppress


class Wakeup:
    """Readable from `ring()` until `hush()`."""

    __slots__ = ("_reader", "_writer")

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        return self._reader.fileno()

    def ring(self) -> None:
        """May be called from any thread."""
        with suppress(OSError):  # a full buffer wakes as well; nobody is left to be woken once it is closed
            self._writer.send(b"\0")

    def hush(self) -> None:
        with suppress(BlockingIOError):
            self._reader.recv(4096)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()
