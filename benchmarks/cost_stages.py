"""Which stage of the pipeline a sampled stack belongs to.

Owns: the stages and what is counted to each. Does not own: sampling, what a sample is worth (`cost_profile`).

A stack is the sampler's text: frames from the outermost in, `;` between them, each `function (file:line)`, native ones
among them. It counts to the innermost frame of aiperf: what that calls in the standard library or in an extension is
its time. But the kernel's calls, imports and the garbage collector are stages of their own, whoever asked for them.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple

CALLS = (
    *("send", "sendmsg", "recv", "recvmsg", "getsockopt", "setsockopt", "ioctl", "timerfd_settime", "epoll_wait"),
    *("epoll_ctl", "poll", "read", "write", "fsync", "socket", "connect", "close", "mmap", "munmap"),
)
"""Functions of the C library that are calls into the kernel. `epoll_wait` is the client's, which never waits in it."""

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

LOOP = "event loop"
IMPORTS = "imports"
COLLECTION = "garbage collection"
WAIT = "waits"
_WAITS = ("epoll_pwait", "PyThread_acquire_lock_timed", "lock_PyThread_acquire_lock")
"""Functions that wait, whatever the sampler took the thread for: the event loop's and those of idle threads."""

_FRAME = re.compile(r"^(?P<function>.*) \((?P<path>.*?)(?::\d+)?\)$")
_ENTRANCES = ("aiperf/__main__.py", "aiperf/cli/", "aiperf/service/host.py", "aiperf/deploy/")
"""Frames at the foot of every stack of a process: with nothing of aiperf above them it is the event loop's time."""


class Frame(NamedTuple):
    function: str
    path: str


def stage(stack: str) -> str:
    """Of one sampled stack."""
    frames = [frame for text in stack.split(";") if (frame := _frame(text))]
    if any(frame.function in _WAITS for frame in frames):
        return WAIT
    if any("importlib" in frame.path for frame in frames):
        return IMPORTS
    if any(frame.function.startswith("gc_collect") for frame in frames):
        return COLLECTION
    if frames and frames[-1].path.startswith("libc") and frames[-1].function in CALLS:
        return f"kernel: {frames[-1].function}"
    ours = [frame for frame in frames if frame.path.startswith("aiperf/") and not frame.path.startswith(_ENTRANCES)]
    return _stage_of(ours[-1].path) if ours else LOOP


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
    return Frame(match["function"], match["path"]) if match else None


def _stage_of(path: str) -> str:
    module = PurePath(path).stem
    if path.startswith("aiperf/endpoint/") and module in MODULES:
        return MODULES[module]
    return next(name for prefix, name in PREFIXES.items() if path.startswith(prefix))
