"""Fixtures for all tests: mock servers as real child processes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import settings

# An example that a loaded machine holds up for a moment is not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


class MockProcess:
    """A running `aiperf mock-server`."""

    def __init__(self, *flags: str) -> None:
        command = [sys.executable, "-m", "aiperf", "mock-server", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        """The line that says it is ready; empty if it ended instead."""
        self.url = self.line.rpartition(" ")[2].strip()
        self.port = int(self.url.rpartition(":")[2]) if self.url else 0

    def stop(self) -> int:
        """Ends it and returns its exit code. Its truth log is complete then."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return self.process.returncode


@contextmanager
def launching() -> Iterator[Callable[..., MockProcess]]:
    """Starts any number of servers, ends them all at the end."""
    started: list[MockProcess] = []

    def launch(*flags: str) -> MockProcess:
        started.append(MockProcess(*flags))
        return started[-1]

    try:
        yield launch
    finally:
        for server in started:
            server.stop()


@pytest.fixture
def mock_process() -> Iterator[Callable[..., MockProcess]]:
    """A factory: `mock_process("--ttft", "50")` starts a server and gives its handle (url, port, stop())."""
    with launching() as launch:
        yield launch


@pytest.fixture
def mock_server(mock_process: Callable[..., MockProcess]) -> Callable[..., str]:
    """A factory: `mock_server("--ttft", "50")` starts a server on a free port and gives its URL."""

    def start(*flags: str) -> str:
        server = mock_process(*flags)
        assert server.url, server.process.stderr.read()
        return server.url

    return start


@pytest.fixture(scope="module")
def module_mock_server() -> Iterator[Callable[..., str]]:
    """As `mock_server`, for servers that all tests of a module share; single requests misbehave by `x-mock-fault`."""
    with launching() as launch:
        yield lambda *flags: launch(*flags).url
