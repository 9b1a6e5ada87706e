"""The processes of a mock server: binds the port, starts the children, ends them all together.

Owns: sockets until they listen, forking, signals, the line that says where the server is. Does not own: serving.

With several processes each has a socket of its own on the same port (SO_REUSEPORT), and the kernel deals connections
out. Children end when their pipe to the parent does, however the parent ends.
"""

import contextlib
import os
import resource
import signal
import socket
import ssl
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from aiperf.errors import AIPerfError, ExitCode, InfrastructureError
from aiperf.mock.behaviour import Behaviour
from aiperf.mock.server import Server
from aiperf.mock.truth import TruthLog, process_path

BIND_TRIES = 10


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a mock server listens and how many processes it has."""

    hosts: tuple[str, ...] = ("127.0.0.1",)
    port: int = 0
    """0: any free one, the same for all hosts."""
    process_count: int = 1
    tls: ssl.SSLContext | None = None
    truth_log: Path | None = None


def run_server(deployment: Deployment, behaviour: Behaviour) -> None:
    """Serves until SIGTERM or SIGINT. Prints one line per host when requests are taken.

    Raises: InfrastructureError if the port is taken, the log cannot be written, or a child ends by itself.
    """
    _allow_many_connections()
    if deployment.truth_log is not None:
        _remove_old_logs(deployment.truth_log)
    if deployment.process_count == 1:
        listeners = bind(deployment.hosts, deployment.port, shared=False)
        _serve(listeners, deployment, behaviour, 0, lambda: _announce(deployment, listeners))
    else:
        _Family(deployment, behaviour).live()


def bind(hosts: Sequence[str], port: int, *, shared: bool) -> list[socket.socket]:
    """A socket per host, all on the same port, not yet listening. Raises: InfrastructureError if there is none."""
    for _ in range(BIND_TRIES):
        sockets: list[socket.socket] = []
        chosen = port
        try:
            for host in hosts:
                sockets.append(_bind_one(host, chosen, shared))
                chosen = sockets[0].getsockname()[1]
            return sockets
        except OSError as error:
            for each in sockets:
                each.close()
            if port or not sockets:  # a port that we picked ourselves may be taken on the next host: pick another
                place = f"{host}:{chosen}" if chosen else host
                raise InfrastructureError(f"cannot listen on {place}: {error.strerror or error}") from error
    raise InfrastructureError(f"found no port that is free on all of {', '.join(hosts)}")


def _bind_one(host: str, port: int, shared: bool) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _serve(
    listeners: list[socket.socket],
    deployment: Deployment,
    behaviour: Behaviour,
    process: int,
    ready: Callable[[], None],
    parent_fd: int = -1,
) -> None:
    """One process's life. It ends by a signal, or when the other end of `parent_fd` is closed."""
    path = deployment.truth_log
    if path is not None and deployment.process_count > 1:
        path = process_path(path, process)
    try:
        log = TruthLog(path) if path is not None else None
    except OSError as error:
        raise InfrastructureError(f"cannot write the truth log {path}: {error.strerror}") from error
    try:
        server = Server(listeners, behaviour, process=process, tls=deployment.tls, log=log)
    except OSError as error:  # another process took the port between our bind and our listen
        raise InfrastructureError(f"cannot listen: {error.strerror or error}") from error
    if parent_fd >= 0:
        server.watch(parent_fd, server.stop)
    signal.set_wakeup_fd(server.wakeup_fd, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    ready()
    try:
        server.serve()
    finally:
        signal.set_wakeup_fd(-1)


class _Family:
    """A parent that serves nothing itself, and its serving children."""

    def __init__(self, deployment: Deployment, behaviour: Behaviour) -> None:
        self.deployment, self.behaviour = deployment, behaviour
        # With SO_REUSEPORT a port in use by another mock server would be shared with it in silence: ask without, first.
        probes = bind(deployment.hosts, deployment.port, shared=False)
        self.port: int = probes[0].getsockname()[1]
        for probe in probes:
            probe.close()
        self.reserved = bind(deployment.hosts, self.port, shared=True)
        """Bound, never listening: keeps the port ours and gets no connections."""
        self.children: set[int] = set()
        self.stopping = False

    def live(self) -> None:
        life_reader, life_writer = os.pipe()  # nothing is ever written: it only ends
        ready_reader, ready_writer = os.pipe()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        for process in range(self.deployment.process_count):
            pid = os.fork()
            if pid == 0:
                os.close(life_writer)
                self.be_child(process, life_reader, ready_writer)
            self.children.add(pid)
        os.close(ready_writer)
        if self.stopping:  # the signal came before all children were there to hear it
            self.stop()
        ready_count = 0
        while some := os.read(ready_reader, 1024):  # ends when each child has said its word, or is gone
            ready_count += len(some)
        if ready_count == self.deployment.process_count and not self.stopping:
            _announce(self.deployment, self.reserved)
        self.wait()

    def be_child(self, process: int, life_reader: int, ready_writer: int) -> NoReturn:
        """Serves, then exits: a child must not go on with what its parent was about to do."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)

        def ready() -> None:
            os.write(ready_writer, b".")
            os.close(ready_writer)

        status = int(ExitCode.BUG)
        try:
            listeners = bind(self.deployment.hosts, self.port, shared=True)
            for sock in self.reserved:
                sock.close()
            _serve(listeners, self.deployment, self.behaviour, process, ready, life_reader)
            status = int(ExitCode.DONE)
        except AIPerfError as error:
            print(f"mock server: {error}", file=sys.stderr)
            status = int(error.exit_code)
        except BaseException:  # noqa: BLE001 - the outer edge of this process: what escapes would run on as if it were the parent
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def stop(self) -> None:
        self.stopping = True
        for pid in self.children:
            os.kill(pid, signal.SIGTERM)

    def wait(self) -> None:
        """Until all children have ended. One that ends by itself takes the others with it."""
        failed = False
        while self.children:
            pid, _status = os.wait()
            self.children.discard(pid)
            if not self.stopping:
                failed = True
                self.stop()
        if failed:
            raise InfrastructureError("a process of the mock server ended by itself; the others were ended too")


def _announce(deployment: Deployment, sockets: Sequence[socket.socket]) -> None:
    scheme = "https" if deployment.tls is not None else "http"
    for sock in sockets:
        host, port = sock.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"mock server listening on {scheme}://{shown}:{port}", flush=True)


def _allow_many_connections() -> None:
    """Raises the limit of open files as far as we may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _remove_old_logs(path: Path) -> None:
    """A log of an earlier run with more processes would be read together with ours."""
    for old in (path, *path.parent.glob(f"{path.name}.[0-9]*")):
        old.unlink(missing_ok=True)
