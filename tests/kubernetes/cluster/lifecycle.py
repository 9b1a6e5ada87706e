"""Brings the cluster up and down. One of a number at a time; whatever is left of one is found and removed by `down`.

`up` makes certificates and configuration, starts the node (node.py) in namespaces of its own, lays the link to it,
loads images and waits until the node is ready. `down` kills the node's first process, with which the kernel ends
everything in it, and removes what lies outside: link, control groups, files.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tests.kubernetes.cluster import certificates, components, images
from tests.kubernetes.cluster.api import Api
from tests.kubernetes.cluster.places import (
    BINARIES,
    CGROUP,
    HERE,
    HOST_ADDRESS,
    HOST_LINK,
    KUBECONFIG,
    LINK_PREFIX_BITS,
    LOCK,
    LOGS,
    MARK,
    NODE,
    NODE_ADDRESS,
    NODE_LINK,
    NUMBER,
    POD_RANGE,
    RUN,
    SERVICE_RANGE,
)

T = TypeVar("T")

READY_LIMIT_S = 90
"""A guard against hanging: it takes about ten on two idle cores."""
STOP_LIMIT_S = 30
HIDDEN_FOLDERS = ("/run", "/var/lib")
"""Memory inside the node: nothing that it needs from outside may lie there."""
_IN_NEW_NAMESPACES = ("unshare", "--fork", "--pid", "--mount-proc", "--mount", "--net", "--uts", "--ipc")
NODE_PROGRAM = HERE / "node.py"
SPECIFICATION = RUN / "node.json"
PROGRAMS = RUN / "programs.json"


class ClusterError(Exception):
    """The cluster cannot be had; the message says why and shows the last words of who knows more."""


def up(archives: list[Path], lifeline: int | None, wait_for_lock_s: float) -> dict[str, Any]:
    """The status of a cluster whose node is ready. Whatever fails, nothing is left.

    `archives`: the images to load. `lifeline`: an inherited descriptor, the reading end of a pipe; the cluster ends
    with the last of its writers.
    Raises: ClusterError.
    """
    for hidden in HIDDEN_FOLDERS:
        if RUN.is_relative_to(hidden):
            raise ClusterError(f"the checkout must not lie under {hidden}, which the node sees as empty")
    if _first_process() is not None:
        raise ClusterError("the cluster is up already; `down` ends it")
    with _locked(wait_for_lock_s) as lock:
        _remove_remains()
        try:
            return _start(archives, lock, lifeline)
        except BaseException:
            _stop()
            raise


def down() -> None:
    """Nothing of this checkout's cluster is left, whatever state it was in."""
    _stop()


def status() -> dict[str, Any]:
    """What runs, for people and for tests."""
    pid = _first_process()
    if pid is None:
        return {"up": False}
    programs = json.loads(PROGRAMS.read_text()) if PROGRAMS.exists() else {}
    outer = _outer_pids(pid)
    for program in programs.values():
        program["pid"] = outer.get(program["pid"])
    return {
        "up": True,
        "has_lifeline": json.loads(SPECIFICATION.read_text())["lifeline"] is not None,
        "node_pid": pid,
        "node": NODE,
        "node_address": NODE_ADDRESS,
        "host_address": HOST_ADDRESS,
        "kubeconfig": str(KUBECONFIG),
        "kubectl": str(BINARIES / "kubectl"),
        "programs": programs,
    }


def remains() -> list[str]:
    """What of a cluster is on the machine: none of it may be after `down`."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and "=".join(MARK).encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(f"process {entry.name} {(entry / 'exe').readlink()}")
    if (pid := _first_process()) is not None:
        found.append(f"process {pid}, the node's first")
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    found += [f"mount {mount}" for mount in mounts if mount.startswith(f"{RUN}/") or "/netns/cni-" in mount]
    if not _another_is_up():
        found += [f"link {HOST_LINK}"] if Path(f"/sys/class/net/{HOST_LINK}").exists() else []
        found += [f"control group {root / CGROUP}" for root in _cgroup_roots() if (root / CGROUP).exists()]
    return found + ([f"folder {RUN}"] if RUN.exists() else [])


def enter(*command: str) -> list[str]:
    """The command line that runs a command inside the node.

    Raises: ClusterError, if there is no node.
    """
    pid = _first_process()
    if pid is None:
        raise ClusterError("the cluster is not up")
    return ["nsenter", "--target", str(pid), "--mount", "--net", "--pid", "--uts", "--ipc", *command]


def _start(archives: list[Path], lock: int, lifeline: int | None) -> dict[str, Any]:
    began = time.monotonic()
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    configuration = RUN / "etc"
    files = certificates.issue(RUN / "pki")
    for name, text in components.configuration_files(files, configuration).items():
        path = configuration / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copyfile(files.kubeconfig("admin"), KUBECONFIG)
    KUBECONFIG.chmod(0o600)
    programs = components.components(files, configuration)
    SPECIFICATION.write_text(
        json.dumps(
            {
                "node": NODE,
                "data": str(RUN / "data"),
                "data_folders": components.DATA_FOLDERS,
                "binaries": str(BINARIES),
                "logs": str(LOGS),
                "programs": str(PROGRAMS),
                "lifeline": lifeline,
                "components": [dataclasses.asdict(program) for program in programs],
            }
        )
    )
    _make_cgroups()
    node = _spawn_node(tuple(descriptor for descriptor in (lock, lifeline) if descriptor is not None))
    pid = _until(_first_process, "the node's first process runs", node)
    here = Path("/proc/self/ns/net").readlink()
    _until(lambda: Path(f"/proc/{pid}/ns/net").readlink() != here, "it is apart", node)
    _lay_link(pid)
    assert node.stdin is not None
    node.stdin.write(b"go\n")
    node.stdin.close()
    _until(lambda: Path(f"/proc/{pid}/root{components.CONTAINERD_SOCKET}").exists(), "containerd listens", node)
    timings = {}
    for archive in archives:
        images.load(enter, archive)
    timings["images_s"] = round(time.monotonic() - began, 1)
    api = Api(KUBECONFIG)
    _until(lambda: api.get("/readyz") == "ok", "the API server is ready", node)
    timings["api_s"] = round(time.monotonic() - began, 1)
    for document in components.bootstrap_objects():
        api.apply(document)
    _until(lambda: _node_is_ready(api), "the node is ready", node)
    _until(lambda: api.get("/api/v1/namespaces/default/serviceaccounts/default"), "controllers work", node)
    _until(lambda: api.get(components.DNS_READY_URL), "names are served", node)
    timings["ready_s"] = round(time.monotonic() - began, 1)
    return status() | {"timings": timings}


def _node_is_ready(api: Api) -> bool:
    node = api.get(f"/api/v1/nodes/{NODE}") or {}
    conditions = node.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _spawn_node(kept: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """The node in new namespaces, out of the reach of this terminal's signals."""
    with (LOGS / "node.log").open("ab") as log:
        return subprocess.Popen(
            [*_IN_NEW_NAMESPACES, sys.executable, "-u", str(NODE_PROGRAM), str(SPECIFICATION)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=kept,
            start_new_session=True,
            cwd="/",
            env=os.environ | dict([MARK]),
        )


def _lay_link(pid: int) -> None:
    """A pair of links, one end in the node, and the routes to pods and services."""
    _ip("link", "add", HOST_LINK, "type", "veth", "peer", "name", NODE_LINK, "netns", str(pid))
    _ip("address", "add", f"{HOST_ADDRESS}/{LINK_PREFIX_BITS}", "dev", HOST_LINK)
    _ip("link", "set", HOST_LINK, "up")
    inside = ("nsenter", "--target", str(pid), "--net")
    _ip("address", "add", f"{NODE_ADDRESS}/{LINK_PREFIX_BITS}", "dev", NODE_LINK, prefix=inside)
    _ip("link", "set", NODE_LINK, "up", prefix=inside)
    for destination in (POD_RANGE, SERVICE_RANGE):
        _ip("route", "add", destination, "via", NODE_ADDRESS)
    # A pod that calls a service address needs some route to it before packet filter rules turn it elsewhere.
    _ip("route", "add", SERVICE_RANGE, "dev", NODE_LINK, prefix=inside)


def _ip(*arguments: str, prefix: tuple[str, ...] = ()) -> None:
    result = subprocess.run([*prefix, "ip", *arguments], check=False, capture_output=True, text=True)
    if result.returncode:
        raise ClusterError(f"ip {' '.join(arguments)}: {result.stderr.strip()}")


# The end


def _stop() -> None:
    deadline_s = time.monotonic() + STOP_LIMIT_S
    while (pid := _first_process()) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline_s:
            raise ClusterError(f"the node's first process {pid} does not end")
        time.sleep(0.05)
    _remove_remains()


def _remove_remains() -> None:
    """Link, control groups and files of a node that is not running."""
    if not _another_is_up():
        # The kernel removes a link some time after its other end's namespace; whoever is first.
        subprocess.run(["ip", "link", "delete", HOST_LINK], check=False, capture_output=True)
        deadline_s = time.monotonic() + STOP_LIMIT_S
        while left := _remove_cgroups():
            if time.monotonic() > deadline_s:
                raise ClusterError(f"control groups that cannot be removed: {', '.join(map(str, left[:3]))}")
            time.sleep(0.1)
    shutil.rmtree(RUN, ignore_errors=True)
    if RUN.exists():
        raise ClusterError(f"{RUN} cannot be removed")


def _cgroup_roots() -> Iterator[Path]:
    """Where control groups are mounted, one per hierarchy of version 1, or the one of version 2."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield Path(folder)


def _make_cgroups() -> None:
    for root in _cgroup_roots():
        group = root / CGROUP
        group.mkdir(exist_ok=True)
        for name in ("cpuset.mems", "cpuset.cpus"):
            # A new group of the old cpuset hierarchy has no processor until it is given some.
            if (group / name).exists() and (root / name).exists():
                (group / name).write_text((root / name).read_text())


def _remove_cgroups() -> list[Path]:
    """Those that are still in use. Processes of a killed node take a moment to leave theirs."""
    left = []
    for root in _cgroup_roots():
        for folder, _, _ in os.walk(root / CGROUP, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                left.append(Path(folder))
    return left


# Who is there


def _first_process() -> int | None:
    """The node's process 1 as seen from here, known by its command line: this checkout's specification."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
            if str(SPECIFICATION).encode() in argv and any(word.endswith(b"/node.py") for word in argv):
                state, inner = _state_and_inner_pid(entry)
                if inner == 1 and state != "Z":
                    return int(entry.name)
        except OSError:
            continue
    return None


def _outer_pids(first: int) -> dict[int, int]:
    """Process id inside the node -> here."""
    namespace = Path(f"/proc/{first}/ns/pid").readlink()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "ns/pid").readlink() == namespace:
                found[_state_and_inner_pid(entry)[1]] = int(entry.name)
        except OSError:
            continue
    return found


def _state_and_inner_pid(entry: Path) -> tuple[str, int]:
    fields = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines())
    return fields["State"].split()[0], int(fields["NSpid"].split()[-1])


@contextlib.contextmanager
def _locked(wait_s: float) -> Iterator[int]:
    """The machine's one of this number. The node inherits the lock, so it is held as long as any of it lives."""
    descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline_s = time.monotonic() + wait_s
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    holder = os.pread(descriptor, 4096, 0).decode()
                    raise ClusterError(f"another test cluster is up (number {NUMBER}), that of {holder}") from None
                time.sleep(0.2)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(RUN).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _another_is_up() -> bool:
    """Whether the machine's one of this number is another checkout's, with its link and control groups."""
    if not LOCK.exists():
        return False
    descriptor = os.open(LOCK, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 4096, 0).decode() != str(RUN)
    finally:
        os.close(descriptor)
    return False


def _until(condition: Callable[[], T | None], what: str, node: subprocess.Popen[bytes]) -> T:
    """The first true value of the condition, unless the node ends or the limit passes first."""
    deadline_s = time.monotonic() + READY_LIMIT_S
    while True:
        if value := condition():
            return value
        if node.poll() is not None:
            raise ClusterError(f"the node ended before {what}:\n{_last_words('node')}")
        if time.monotonic() > deadline_s:
            raise ClusterError(f"not in {READY_LIMIT_S} s: {what}\n{_blame()}")
        time.sleep(0.05)


def _blame() -> str:
    """The last words of the programs that had to be started again, or of all."""
    programs = json.loads(PROGRAMS.read_text()) if PROGRAMS.exists() else {}
    failed = [name for name, program in programs.items() if program["restarts"]] or list(programs)
    return "\n".join(f"--- {name}\n{_last_words(name)}" for name in failed)


def _last_words(name: str) -> str:
    log = LOGS / f"{name}.log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:]) if log.exists() else ""
