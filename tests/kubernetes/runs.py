"""`aiperf profile --kubernetes` as a person calls it, and what it leaves: on this machine and in the cluster.

Owns: the command as a process in a folder of its own, its artifacts, looking for its objects. Does not own: the cluster
(`conftest`), the server it measures.

Every object of a run carries the label that the test gave it: so its objects are told from those of others, whatever
they are called and wherever they lie.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

HANG_S = 300
"""Far more than any of these runs takes on a slow machine: whatever is not over by then hangs."""
POLL_S = 0.1

SMALL = ("-m", "m", "--tokenizer", "builtin", "--isl", "8", "--osl", "4", "--num-prompts", "10", "--streaming")
"""A benchmark that starts at once and needs no network."""
LONG = (*SMALL, "--concurrency", "4", "--duration", "120", "--benchmark-grace-period", "5")
"""One that lasts until something is done to it. 20 requests a second or so with the server of `server`."""

KINDS = "jobs,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies"
"""Everything that a run is made of, but for its namespace."""


class ClusterLike(Protocol):
    """`conftest.Cluster`, as far as it is needed here."""

    kubeconfig: str
    image: str

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]: ...

    def get(self, *arguments: str) -> Any: ...


class Run:
    """One call of the command. `finish` waits for its end."""

    def __init__(self, cluster: ClusterLike, folder: Path, argv: tuple[str, ...], environ: dict[str, str]) -> None:
        folder.mkdir(parents=True)
        self.cluster = cluster
        self.folder_of_call = folder
        self.mark = f"test-call={uuid.uuid4().hex}"
        self._out, self._err = folder / "stdout", folder / "stderr"
        image = () if "--image" in argv else ("--image", cluster.image)
        in_cluster = ("--kubernetes", *image, "--label", self.mark)
        local = "--local" in argv
        argv = tuple(word for word in argv if word != "--local")
        # Under `nohup` the command would not mind the end of its terminal; these tests may be under it.
        command = [
            "env",
            "--default-signal=HUP",
            sys.executable,
            "-m",
            "aiperf",
            "profile",
            *(() if local else in_cluster),
            *argv,
        ]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIPERF_", "KUBE"))}
        (folder / "tmp").mkdir()
        own = {"KUBECONFIG": cluster.kubeconfig, "TMPDIR": str(folder / "tmp"), "AIPERF_UI": "simple"}
        self.began_s = time.monotonic()
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                command,
                env=inherited | own | environ,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    # While it runs

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """What the command has told so far."""
        return self._err.read_text()

    @property
    def words(self) -> str:
        """All of it, for a failed assertion."""
        return f"exit code {self.process.poll()}\n{self.stderr}\n{self.stdout}"

    def eventually(self, condition: Callable[[], Any], what: str, *, must_live: bool = True) -> Any:
        """The first true value of the condition. The limit is a guard against hanging, no measure of speed."""
        deadline_s = time.monotonic() + HANG_S
        while not (value := condition()):
            assert time.monotonic() < deadline_s, f"still not: {what}\n{self.words}"
            assert not must_live or self.process.poll() is None, f"ended before {what}\n{self.words}"
            time.sleep(POLL_S)
        return value

    def wait_for_load(self) -> "Run":
        """Returns when requests have been answered."""
        self.eventually(lambda: re.search(r"[1-9][\d,]* done", self.stderr), "requests are answered")
        return self

    @property
    def namespace(self) -> str:
        """As the plan's screen says."""
        line = re.compile(r"^Namespace +(\S+) ", re.MULTILINE)
        return str(self.eventually(lambda: line.search(self.stderr), "the plan", must_live=False).group(1))

    @property
    def run_id(self) -> str:
        job = self.eventually(lambda: self.objects("jobs"), "the run's jobs", must_live=False)[0]
        return str(job["metadata"]["labels"]["aiperf/run-id"])

    def objects(self, kinds: str) -> list[dict[str, Any]]:
        """The run's objects of these kinds, in all namespaces."""
        return list(self.cluster.get(kinds, "--all-namespaces", "--selector", self.mark)["items"])

    def pods(self, component: str = "") -> list[dict[str, Any]]:
        found = self.objects("pods")
        key = "app.kubernetes.io/component"
        return [pod for pod in found if component in ("", pod["metadata"]["labels"].get(key))]

    def pod(self, component: str, index: int | None = None) -> str:
        """The name of a pod, once there is one."""

        def find() -> str | None:
            for pod in self.pods(component):
                place = pod["metadata"]["labels"].get("batch.kubernetes.io/job-completion-index")
                if index is None or place == str(index):
                    return str(pod["metadata"]["name"])
            return None

        return str(self.eventually(find, f"there is a pod of {component}", must_live=False))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    # Afterwards

    def finish(self) -> "Run":
        try:
            self.process.wait(HANG_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the command does not end\n{self.words}") from None
        assert "Traceback" not in self.stdout + self.stderr, self.words
        return self

    @property
    def exit_code(self) -> int:
        return int(self.process.returncode)

    def in_cluster(self) -> str:
        """What the cluster has of the run, a name a line."""
        kinds = f"{KINDS},namespaces"
        return self.cluster.kubectl(
            "get", kinds, "--all-namespaces", "--selector", self.mark, "--output=name"
        ).stdout.strip()

    @property
    def folder(self) -> Path:
        (folder,) = (self.folder_of_call / "artifacts").iterdir()
        return folder

    @property
    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    @property
    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "profile_export_aiperf.json").read_bytes()))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "profile_export.jsonl").read_bytes().splitlines()]

    @property
    def log(self) -> str:
        return (self.folder / "logs/aiperf.log").read_text()

    @property
    def reconciles(self) -> bool:
        """Whether both accounts add up: every credit has one fate, every request that ended has its record."""
        credits, records = self.summary["credits"], self.summary["records"]
        fates = sum(credits[fate] for fate in ("completed", "failed", "cancelled", "censored", "lost"))
        ended = credits["completed"] + credits["failed"]
        return bool(credits["issued"] == fates and ended == records["records"] + records["lost"])


class Launcher:
    """Calls the command, each time in a folder of its own."""

    def __init__(self, cluster: ClusterLike, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._runs: list[Run] = []

    def start(self, *argv: str, environ: dict[str, str] | None = None) -> Run:
        """`--local` among the arguments: on this machine instead of in the cluster."""
        self._runs.append(Run(self._cluster, self._folder / str(len(self._runs)), argv, environ or {}))
        return self._runs[-1]

    def run(self, *argv: str, environ: dict[str, str] | None = None) -> Run:
        return self.start(*argv, environ=environ).finish()

    def close(self, *, check: bool) -> None:
        """Ends and removes what a failed test left. `check`: there must be nothing."""
        left = {}
        for run in self._runs:
            if run.process.poll() is None:
                left[run] = "it still runs"
                run.kill()
            if found := run.in_cluster():
                left[run] = f"{left.get(run, '')}\n{found}"
                self._cluster.kubectl(
                    *("delete", "jobs,namespaces", "--all-namespaces", "--selector", run.mark, "--wait=false")
                )
        if check:
            assert not left, "\n".join(f"{what}\n{run.words}" for run, what in left.items())


@contextmanager
def launching(cluster: ClusterLike) -> Iterator[Launcher]:
    """Calls of the command; afterwards none of them runs, and the cluster has nothing of them."""
    folder = Path(tempfile.mkdtemp(prefix="k-"))
    launcher = Launcher(cluster, folder)
    is_well = False
    try:
        yield launcher
        is_well = True
    finally:
        try:
            launcher.close(check=is_well)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
