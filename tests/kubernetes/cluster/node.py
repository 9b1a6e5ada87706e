"""The node's first process: keeps the cluster's programs running inside namespaces that end with it.

Started by `unshare` as process 1 of new network, mount, process, host name and IPC namespaces. When it ends, however it
ends, the kernel kills every process of the node (pods and shims too), and its mounts, links and packet filter rules
vanish with the namespaces. Standard library only; its command line names the run's folder, by which `down` finds it.

node.json -> running programs, their logs, and `programs.json` (process ids inside the node, restarts).
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RESTART_PAUSE_S = 0.5
POLL_S = 0.05


class Programs:
    """The running programs. One that ends is started again, as a node agent would."""

    def __init__(self, logs: Path, table: Path, environ: dict[str, str]) -> None:
        self._logs = logs
        self._table = table
        self._environ = environ
        self._argv: dict[str, list[str]] = {}
        self._name_of: dict[int, str] = {}
        self._restarts: dict[str, int] = {}
        self._due_s: dict[str, float] = {}

    def start(self, name: str, argv: list[str]) -> None:
        self._argv[name] = argv
        self._restarts.setdefault(name, 0)
        with (self._logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environ, start_new_session=True
            )
        self._name_of[process.pid] = name
        # Process 1 buries everyone itself; Popen must not wait for a child of its own beside that.
        process.returncode = 0
        self._write()

    def bury(self) -> None:
        """Collects whoever has ended, orphans of pods included, and starts programs again that are due."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if name := self._name_of.pop(pid, None):
                print(f"{name} ended with status {os.waitstatus_to_exitcode(status)}", flush=True)
                self._due_s[name] = time.monotonic() + RESTART_PAUSE_S
        for name in [name for name, due_s in self._due_s.items() if due_s <= time.monotonic()]:
            del self._due_s[name]
            self._restarts[name] += 1
            self.start(name, self._argv[name])

    def _write(self) -> None:
        pids = {name: pid for pid, name in self._name_of.items()}
        table = {name: {"pid": pids.get(name), "restarts": count} for name, count in self._restarts.items()}
        partial = self._table.with_suffix(".partial")
        partial.write_text(json.dumps(table))
        partial.replace(self._table)


def accepts(address: str) -> bool:
    """Whether `host:port`, or a socket at that path, takes a connection now."""
    family = socket.AF_UNIX if address.startswith("/") else socket.AF_INET
    host, _, port = address.rpartition(":")
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address if family == socket.AF_UNIX else (host, int(port)))
        except OSError:
            return False
    return True


def enter(spec: dict[str, Any]) -> None:
    """Mounts and names of the node. Shared propagation is what the kubelet and volumes expect of a node."""

    def run(*command: str) -> None:
        subprocess.run(command, check=True)

    run("mount", "--make-rshared", "/")
    for hidden in ("/run", "/var/lib"):
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", hidden)
    for folder in spec["data_folders"]:
        source = Path(spec["data"], folder.strip("/").replace("/", "-"))
        source.mkdir(parents=True, exist_ok=True)
        Path(folder).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", str(source), folder)
    Path("/run/lock").mkdir()
    socket.sethostname(spec["node"])
    run("ip", "link", "set", "lo", "up")


def main(spec: dict[str, Any]) -> None:
    enter(spec)
    # "go" comes when the link is there; the end of file instead means that `up` is gone.
    if sys.stdin.readline().strip() != "go":
        return
    lifeline = select.poll()
    if spec["lifeline"] is not None:
        lifeline.register(spec["lifeline"], select.POLLHUP)
    environ = os.environ | {"PATH": f"{spec['binaries']}:{os.environ['PATH']}"}
    programs = Programs(Path(spec["logs"]), Path(spec["programs"]), environ)
    waves = sorted({component["wave"] for component in spec["components"]})
    waiting: list[str] = []
    while True:
        if waves and all(accepts(address) for address in waiting):
            wave = waves.pop(0)
            started = [component for component in spec["components"] if component["wave"] == wave]
            for component in started:
                programs.start(component["name"], component["argv"])
            waiting = [component["accepts"] for component in started if component["accepts"]]
        if lifeline.poll(POLL_S * 1000 if spec["lifeline"] is not None else 0):
            print("the holder of the lifeline is gone", flush=True)
            return
        if spec["lifeline"] is None:
            time.sleep(POLL_S)
        programs.bury()


if __name__ == "__main__":
    # The default for process 1 is to ignore both.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        main(json.loads(Path(sys.argv[1]).read_text()))
