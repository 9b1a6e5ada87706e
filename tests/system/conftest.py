"""The product as a person meets it: `aiperf profile` as a process, and everything it leaves behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

HANG_S = 90
"""Far more than any of these runs takes on a slow machine: whatever is not over by then hangs."""

MARK = "SYSTEM_TEST_RUN"
"""An environment variable by which the processes of a run are found, whoever their parent has become."""

SMALL = ("-m", "m", "--tokenizer", "builtin", "--isl", "8", "--osl", "4", "--num-prompts", "10")
"""A benchmark that starts at once and needs no network."""


class Run:
    """A benchmark as a process. `finish` waits for it and checks what every run promises, however it ends."""

    def __init__(
        self,
        folder: Path,
        *argv: str,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        command: str = "profile",
        **options: Any,
    ) -> None:
        self.artifacts = folder / "artifacts"
        self.work = folder / "tmp"
        self.work.mkdir(parents=True)
        self._mark = uuid.uuid4().hex
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AIPERF_")}
        environ |= {MARK: self._mark, "TMPDIR": str(self.work), "AIPERF_ARTIFACT_DIR": str(self.artifacts)}
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "aiperf", command, *argv],
            env=environ | dict(env or {}),
            text=True,
            **({"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
        )
        self.stdout = self.stderr = ""

    # While it runs

    def eventually(self, condition: Callable[[], Any], what: str, *, must_live: bool = True) -> Any:
        """The first true value of the condition. The limit is a guard against hanging, no measure of speed."""
        deadline = time.monotonic() + HANG_S
        while not (value := condition()):
            assert time.monotonic() < deadline, f"still not: {what}"
            assert not must_live or self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)
        return value

    def processes(self) -> list[psutil.Process]:
        """The living processes of the run, the command's own first."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return sorted(found, key=lambda process: process.pid != self.process.pid)

    def host(self, host_id: str) -> psutil.Process:
        """The process of a host: they are started in the order of the layout."""
        layout = self.eventually(lambda: [*self.work.glob("*/layout.json")], "there is a layout")
        ids = [host["host_id"] for host in json.loads(layout[0].read_bytes())["hosts"]]
        children = psutil.Process(self.process.pid).children
        self.eventually(lambda: len(children()) == len(ids), "every host was started")
        hosts = sorted(children(), key=lambda child: child.pid)
        return hosts[ids.index(host_id)]

    @property
    def log(self) -> str:
        return "".join(path.read_text() for path in self.artifacts.glob("*/logs/aiperf.log"))

    def wait_for_load(self) -> None:
        """Returns when the load has been on for a while."""
        self.eventually(lambda: "RUNNING" in self.log, "the load is on")
        time.sleep(0.4)  # for requests to be made; a slow machine makes fewer

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    # Afterwards

    def finish(self) -> "Run":
        try:
            self.stdout, self.stderr = (text or "" for text in self.process.communicate(timeout=HANG_S))
        except subprocess.TimeoutExpired:
            self.end()
            raise
        self.check_nothing_is_left()
        return self

    def check_nothing_is_left(self) -> None:
        """No process, no socket, no secret, no half-written file; and no traceback for the user to read."""
        assert self.processes() == []
        assert [*self.work.iterdir()] == []
        assert [*self.artifacts.rglob(".*")] == []
        assert "Traceback" not in self.stdout + self.stderr, self.stderr
        for path in self.artifacts.rglob("*.json"):
            json.loads(path.read_bytes())

    def end(self) -> None:
        """Ends what still lives, for tests that failed."""
        for process in self.processes():
            process.kill()
        if self.process.poll() is None:
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def exit_code(self) -> int:
        return self.process.returncode

    @property
    def folder(self) -> Path:
        (folder,) = self.artifacts.iterdir()
        return folder

    @property
    def summary(self) -> dict:
        return json.loads((self.folder / "profile_export_aiperf.json").read_bytes())

    @property
    def lines(self) -> list[dict]:
        return self.json_lines("profile_export.jsonl")

    def json_lines(self, name: str) -> list[dict]:
        return [json.loads(line) for line in (self.folder / name).read_bytes().splitlines()]

    def value(self, tag: str) -> float:
        """A metric that is a single value."""
        return self.summary[tag]["avg"]

    @property
    def reconciles(self) -> bool:
        """Whether both accounts add up: every credit has one fate, every request that ended has its record."""
        credits, records = self.summary["credits"], self.summary["records"]
        fates = sum(credits[fate] for fate in ("completed", "failed", "cancelled", "censored", "lost"))
        ended = credits["completed"] + credits["failed"]
        return credits["issued"] == fates and ended == records["records"] + records["lost"]

    def errors(self) -> dict[tuple[str, int], int]:
        """How many requests failed in which way: by kind and status."""
        return {(error["kind"], error["code"]): error["count"] for error in self.summary["error_summary"]}


class Launcher:
    """Starts benchmarks, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs: list[Run] = []

    def start(self, *argv: str, **options) -> Run:
        """Starts `aiperf profile` (or another `command`) with these arguments and nothing else."""
        self._runs.append(Run(self.folder / str(len(self._runs)), *argv, **options))
        return self._runs[-1]

    def start_small(self, url: str, *flags: str, **options) -> Run:
        """Starts a small benchmark of this server."""
        return self.start(*SMALL, "--url", url, *flags, **options)

    def run(self, *argv: str, **options) -> Run:
        return self.start(*argv, **options).finish()

    def run_small(self, url: str, *flags: str, **options) -> Run:
        return self.start_small(url, *flags, **options).finish()

    def close(self) -> None:
        for run in self._runs:
            run.end()


@pytest.fixture
def aiperf() -> Iterator[Launcher]:
    """Runs `aiperf profile`. Its folders have short names: a socket's address has room for a hundred bytes."""
    folder = Path(tempfile.mkdtemp(prefix="sys-"))
    launcher = Launcher(folder)
    try:
        yield launcher
    finally:
        launcher.close()
        shutil.rmtree(folder, ignore_errors=True)
