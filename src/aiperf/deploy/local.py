"""The hosts of a layout as child processes of this one.

Owns: starting, watching and ending processes, and the promise that none outlives this one. Does not own: what they do.

On Linux a host is forked from the command's process, which has already imported everything: it starts in milliseconds.
It then runs the same command line that a container runs. Elsewhere, where forking after import is not safe, the command
line is started as a fresh interpreter. A host ends when the pipe from its starter closes, however that died.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from aiperf.deploy.service_manager import HostEnded
from aiperf.errors import ExitCode, InfrastructureError
from aiperf.service.host import TERMINATED
from aiperf.service.layout import Layout
from aiperf.service.membership import TOLD_TO_LEAVE

CAN_FORK = sys.platform == "linux"

WORK_DIR_BYTES_MAX = 70
"""An address of a Unix socket has 104 bytes (macOS; 108 on Linux), of which the longest name of a channel takes 30."""


class MultiProcessServiceManager:
    """Runs each host of `layout` as a process.

    `run_service` is the `aiperf service` command as a function of its arguments. It is called in the forked child.
    Must be started before this process has an event loop's threads or a ZeroMQ context (see `start_processes`).
    """

    outlives_operator = False

    def __init__(self, layout: Layout, run_service: Callable[[Sequence[str]], int]) -> None:
        self._layout = layout
        self._run_service = run_service
        self._pids: dict[int, str] = {}
        self._asked: set[int] = set()
        self._ends: asyncio.Queue[HostEnded] = asyncio.Queue()
        self._pipe_read, self._pipe_write = os.pipe()
        os.set_inheritable(self._pipe_read, True)

    def start_processes(self) -> None:
        """Starts every host. Called before the event loop runs, so that a fork copies nothing but memory."""
        gc.collect()
        gc.freeze()
        for host in self._layout.hosts:
            arguments = [
                "--host", host.host_id, "--run-dir", self._layout.work_dir, "--parent-pipe", str(self._pipe_read),
            ]  # fmt: skip
            try:
                pid = self._fork(arguments) if CAN_FORK else self._spawn(arguments)
            except OSError as error:
                self.kill()
                raise InfrastructureError(f"cannot start {host.host_id}: {error.strerror}") from error
            self._pids[pid] = host.host_id

    def _fork(self, arguments: Sequence[str]) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            os.close(self._pipe_write)
            os.setsid()  # Ctrl-C on the terminal reaches the command only.
            code = self._run_service(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            # Leaves without running the parent's exit handlers.
            os._exit(code)

    def _spawn(self, arguments: Sequence[str]) -> int:
        command = [sys.executable, "-m", "aiperf", "service", *arguments]
        return os.posix_spawn(sys.executable, command, os.environ, setsid=True)

    async def start(self) -> None:
        """Begins to watch the processes."""
        loop = asyncio.get_running_loop()
        os.close(self._pipe_read)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._reap()

    def _reap(self) -> None:
        for pid in list(self._pids):
            try:
                done, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                done, status = pid, signal.SIGKILL  # somebody else took its end: whatever it was, it is gone
            if done:
                host_id = self._pids.pop(pid)
                code = os.waitstatus_to_exitcode(status)
                expected = code in (ExitCode.DONE, ExitCode.DISMISSED) or pid in self._asked
                self._ends.put_nowait(HostEnded(host_id, _exit_in_words(code), expected))

    async def next_end(self) -> HostEnded:
        return await self._ends.get()

    async def stop(self, grace_s: float) -> None:
        await self._wait_for_ends(grace_s)
        self._signal(signal.SIGTERM)
        await self._wait_for_ends(grace_s)
        self.kill()

    async def _wait_for_ends(self, limit_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + limit_s
        while self._pids and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
            self._reap()

    def kill(self) -> None:
        """Ends what is left by force, at once."""
        self._signal(signal.SIGKILL)
        for pid in list(self._pids):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
            del self._pids[pid]

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids:
            self._asked.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _exit_in_words(code: int) -> str:
    if code < 0:
        return f"its process was killed by {signal.Signals(-code).name}"
    if code == TERMINATED:
        return TOLD_TO_LEAVE
    return f"its process ended with code {code}"


def private_work_dir(run_id: str) -> Path:
    """A fresh directory that only this user can enter, for the sockets and the plan with its secrets.

    On a short path: the address of a socket has room for about a hundred bytes.

    Raises: InfrastructureError if it cannot be made.
    """
    name = f"aiperf-{run_id}"
    try:
        path = Path(tempfile.gettempdir()) / name
        if len(os.fsencode(path)) > WORK_DIR_BYTES_MAX:
            path = Path("/tmp") / name  # noqa: S108 (the name is drawn, the mode is private, an existing one is refused)
        path.mkdir(mode=0o700)
    except OSError as error:
        raise InfrastructureError(f"cannot create a directory for sockets: {error}") from error
    return path
