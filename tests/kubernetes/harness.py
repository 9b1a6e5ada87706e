"""The harness's clusters as tests have them: one that all sessions share, and one that a session has to itself.

Every worker of pytest-xdist is a session of its own, and so are two calls of pytest. The first that needs the shared
cluster brings it up, the last one ends it; a cluster that a person brought up is used and left up. Each session holds
the writing end of a named pipe, whose end the node watches: a cluster goes with the last of its sessions, also when all
of them are killed. Files with locks tell who is there, so nothing has to be tidied after a session that was killed.

Does not own: what a cluster is and how it starts (`cluster/`), what tests do with one (`conftest`).
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from tests.kubernetes.cluster.places import CACHE, NUMBER, NUMBER_VARIABLE, ROOT, SPARE_NUMBER

SESSIONS = CACHE / f"sessions-{NUMBER}"
"""Files of the sessions that share a cluster, without content: `turn`, `present`, `lifeline`, `spare`."""
LOCK_WAIT_S = 600
"""Another checkout's tests may have the machine's cluster."""
END_IS_SEEN_S = 0.5
"""By then a node whose lifeline was cut has ended: it looks twenty times a second."""


class NoClusterError(Exception):
    """There is no cluster to test with; the message says why."""


class Harness:
    """The harness's commands, for the cluster of this number."""

    def __init__(self, number: int = NUMBER) -> None:
        self._environ = os.environ | {NUMBER_VARIABLE: str(number)}

    def __call__(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """A command that ran to its end."""
        command = [sys.executable, "-m", "tests.kubernetes.cluster", *arguments]
        return subprocess.run(
            command, check=False, cwd=ROOT, env=self._environ, capture_output=True, text=True, **options
        )

    def status(self) -> dict[str, Any]:
        result = self("status")
        if result.returncode:
            raise NoClusterError(result.stderr)
        return dict(json.loads(result.stdout))

    def up(self, lifeline: int) -> dict[str, Any]:
        """The status of a new cluster, which ends with the last writer of this reading end; that is closed here."""
        try:
            result = self("up", f"--wait={LOCK_WAIT_S}", f"--lifeline={lifeline}", pass_fds=[lifeline])
        finally:
            os.close(lifeline)
        if result.returncode:
            raise NoClusterError(f"docs/testing-kubernetes.md tells what it needs:\n{result.stderr}")
        return dict(json.loads(result.stdout))

    def down(self) -> None:
        """Ends it. Nothing of it may be left."""
        result = self("down")
        assert result.returncode == 0, result.stderr
        left = self("remains").stdout
        assert not left, f"left on the machine:\n{left}"


# The one that all share


@contextlib.contextmanager
def shared() -> Iterator[dict[str, Any]]:
    """The status of the cluster that all sessions share.

    Raises: NoClusterError.
    """
    harness = Harness()
    SESSIONS.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        with _locked("turn"):
            status, lifeline = _join(harness)
            if lifeline is not None:
                held.callback(os.close, lifeline)
            loaded = harness("load-image")
            if loaded.returncode:
                raise NoClusterError(f"the image cannot be put into the cluster:\n{loaded.stderr}")
            present = held.enter_context(contextlib.ExitStack())
            present.enter_context(_locked("present", fcntl.LOCK_SH))
        try:
            yield status
        finally:
            with _locked("turn"):
                present.close()
                if lifeline is not None and _nobody_is_present():
                    harness.down()


def _join(harness: Harness) -> tuple[dict[str, Any], int | None]:
    """The cluster's status, and the end of its lifeline, which a cluster that a person brought up does not have."""
    deadline_s = time.monotonic() + LOCK_WAIT_S
    while time.monotonic() < deadline_s:
        status = harness.status()
        if not status["up"]:
            return _begin(harness)
        if not status["has_lifeline"]:
            return status, None
        # A cluster whose sessions were all killed a moment ago is about to end: it is waited for.
        with contextlib.suppress(OSError):
            lifeline = os.open(SESSIONS / "lifeline", os.O_WRONLY | os.O_NONBLOCK)
            time.sleep(END_IS_SEEN_S)
            if harness.status()["up"]:
                return status, lifeline
            os.close(lifeline)
        time.sleep(END_IS_SEEN_S)
    raise NoClusterError("the cluster of sessions that are gone does not end; `down` ends it")


def _begin(harness: Harness) -> tuple[dict[str, Any], int]:
    path = SESSIONS / "lifeline"
    # A new one each time: whoever still has the old one open holds nothing of this cluster.
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    lifeline = os.open(path, os.O_WRONLY)
    try:
        return harness.up(reading), lifeline
    except BaseException:
        os.close(lifeline)
        raise


def _nobody_is_present() -> bool:
    try:
        with _locked("present", fcntl.LOCK_EX | fcntl.LOCK_NB):
            return True
    except BlockingIOError:
        return False


@contextlib.contextmanager
def _locked(name: str, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """The kernel releases it with the process that has it, however that ends."""
    with (SESSIONS / name).open("a") as file:
        fcntl.flock(file, how)
        yield


# The one that a session has to itself


class SpareCluster:
    """A second cluster beside the shared one, for tests that hurt or end theirs."""

    def __init__(self) -> None:
        self.harness = Harness(SPARE_NUMBER)
        self._lifeline: int | None = None

    def begin(self) -> dict[str, Any]:
        """Its status, once it is up.

        Raises: NoClusterError.
        """
        reading, self._lifeline = os.pipe()
        return self.harness.up(reading)

    def cut(self) -> None:
        """What the kernel does when the tests are killed."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def end(self) -> None:
        self.harness.down()
        self.cut()


@contextlib.contextmanager
def spare() -> Iterator[SpareCluster]:
    """One that is not up yet; afterwards nothing of it is left. Others wait for their turn."""
    SESSIONS.mkdir(parents=True, exist_ok=True)
    with _locked("spare"):
        own = SpareCluster()
        # That of a killed session may still be about to end.
        own.harness("down")
        try:
            yield own
        finally:
            own.end()
