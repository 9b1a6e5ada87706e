"""Which stage of the pipeline a sampled stack belongs to.

Owns: the stages and what is counted to each. Does not own: sampling, what a sample is worth (`cost_profile`).

A stack is the sampler's text: frames from the outermost in, `;` between them, each `function (path:line)`. It counts to
the innermost frame of aiperf: what that calls in the standard library or in an extension is its time. A line that calls
the kernel shows the time of the call as its own (with the interpreter's part of the call), so lines of `endpoint` are
told by the call that stands in them.
"""

import linecache
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import aiperf

SOURCES = Path(aiperf.__file__).parents[1]

CALLS = {
    "recvmsg(": "kernel: recvmsg",
    ".sock.send(": "kernel: send",
    "poll(": "kernel: epoll_wait (the client's)",
    "sock.getsockopt(": "kernel: getsockopt (segment counts)",
    "fcntl.ioctl(": "kernel: ioctl (bytes left)",
    "timerfd_settime(": "kernel: timer",
}
"""A call that stands in a line of `endpoint`, and its stage."""

MODULES = {
    **dict.fromkeys(("framing", "known_heads", "response"), "HTTP framing"),
    **dict.fromkeys(("sse", "chat", "completions", "dialect", "dialects", "usage"), "SSE"),
    **dict.fromkeys(("sender", "request_head"), "requests written"),
    **dict.fromkeys(("stamps", "arrivals", "segments", "watches", "tempo"), "stamps and what they rest on"),
}
"""A module of `endpoint`, and its stage; the others are the client's loop."""

PREFIXES = {
    "aiperf/endpoint/": "client: ready connections, exchanges, timers",
    "aiperf/record/slices": "slices written",
    "aiperf/service/slice_outlet": "slices written",
    "aiperf/service/short_slice": "slices written",
    "aiperf/record/request_id": "credits and requests taken up",
    "aiperf/service/worker": "credits and requests taken up",
    "aiperf/service/credit_account": "credits and requests taken up",
    "aiperf/dataset/": "dataset",
    "aiperf/service/timing_manager": "credits issued",
    "aiperf/schedule/": "credits issued",
    "aiperf/record/": "records built",
    "aiperf/report/": "lines of the export",
    "aiperf/service/shard_outlet": "lines of the export",
    "aiperf/metrics/": "metrics",
    "aiperf/wire/": "IPC",
    "aiperf/": "other",
}
"""The start of a path, and its stage; the first that fits."""

LOOP = "event loop: its native code, epoll_wait, what it calls"
IMPORTS = "imports"
WAIT = "waits"
WAITING = ("concurrent/futures/thread.py", "threading.py", "queue.py", "selectors.py")
"""A thread whose innermost frame is here waits, whatever the sampler took it for."""

_FRAME = re.compile(r"^(?P<function>.*) \((?P<path>.*?)(?::(?P<line>\d+))?\)$")
_ENTRANCES = ("aiperf/__main__.py", "aiperf/cli/", "aiperf/service/host.py", "aiperf/deploy/")
"""Frames at the foot of every stack of a process: with nothing of aiperf above them it is the event loop's time."""


class Frame(NamedTuple):
    path: str
    line: int

    def text(self) -> str:
        """The line as it stands in aiperf's source; empty for a file that is not there."""
        return linecache.getline(str(SOURCES / self.path), self.line)


def stage(stack: str) -> str:
    """Of one sampled stack."""
    frames = [frame for text in stack.split(";") if (frame := _frame(text))]
    if frames and frames[-1].path in WAITING:
        return WAIT
    if any("importlib" in frame.path for frame in frames):
        return IMPORTS
    ours = [frame for frame in frames if frame.path.startswith("aiperf/") and not frame.path.startswith(_ENTRANCES)]
    return _stage_of(ours[-1]) if ours else LOOP


def stages(lines: Iterable[str]) -> Counter[str]:
    """Samples of each stage, by what the sampler wrote: a stack and its count a line."""
    counts: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        if stack:
            counts[stage(stack)] += int(count)
    return counts


def _frame(text: str) -> Frame | None:
    match = _FRAME.match(text)
    return Frame(match["path"], int(match["line"] or 0)) if match else None


def _stage_of(frame: Frame) -> str:
    if frame.path.startswith("aiperf/endpoint/"):
        text = frame.text()
        for call, name in CALLS.items():
            if call in text:
                return name
        module = Path(frame.path).stem
        if module in MODULES:
            return MODULES[module]
    return next(name for prefix, name in PREFIXES.items() if frame.path.startswith(prefix))
