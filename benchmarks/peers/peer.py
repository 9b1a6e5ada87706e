"""What every load generator has in common: a way to install it, a command for a load, and samples to read afterwards.

Owns: the nouns `Load`, `Sample` and `Peer`. Does not own: any one tool (a file each), environments (`install`),
running a command (`metered`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MODEL = "mock"


@dataclass(frozen=True)
class Load:
    """What a tool is asked to do. Either a concurrency or a constant rate drives it."""

    url: str
    request_count: int
    tokens: int
    """Of each answer."""
    concurrency: int | None = None
    rate_rps: float | None = None
    prompt_tokens: int = 8
    warm_up: bool = False
    """Open connections by the same load, a second long, before the requests that count. Only for tools that can."""

    def __post_init__(self) -> None:
        assert (self.concurrency is None) != (self.rate_rps is None)


@dataclass(frozen=True, slots=True)
class Sample:
    """One request that was answered in full, as the tool reports it."""

    request_id: str | None
    """The `X-Request-ID` it was sent with. None: the tool sends none, or does not tell it."""
    started_ns: float
    """By a clock of the tool's that orders its requests; CLOCK_REALTIME wherever there is no request id."""
    ttft_ms: float
    latency_ms: float
    first_width_ms: float = 0.0
    """How much earlier than told the first token may have come. 0: the tool claims to know."""
    last_width_ms: float = 0.0


class Peer(Protocol):
    """A load generator. All of them are run from a folder that is theirs for one run."""

    name: str
    """As given to `--tools`."""
    requirements: tuple[str, ...]
    """What pip is asked for, pinned. Empty: it runs from the checkout."""
    how: str
    """What of its configuration a reader should know."""

    def command(self, load: Load, folder: Path) -> list[str]:
        """The command line that runs the load and writes its results somewhere under `folder`."""
        ...

    def samples(self, folder: Path) -> list[Sample]:
        """Requests that were answered in full, as the results under `folder` tell them. Raises: ResultsError."""
        ...

    def words(self, folder: Path) -> str:
        """What the tool itself says about how far its figures can be trusted; empty if it says nothing."""
        ...


class ResultsError(Exception):
    """A run left no results behind, or not the only ones: what was looked for."""


def only_file(folder: Path, pattern: str) -> Path:
    """The one file that matches. Raises: ResultsError."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise ResultsError(f"{len(found)} files match {pattern}")
    return found[0]
