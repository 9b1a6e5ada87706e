"""Does the verdict say the truth? Runs that something disturbs, each compared with what the server wrote down.

    python benchmarks/verdict_experiments.py [NAME …] [--list]

Each experiment is a whole `aiperf profile` of about five seconds against the mock server, which notes the kernel's
receive stamp of each request and the clock at each send. The worker has one core, the server the other. Then something
is done to the worker: its core is burnt, it is stopped for a while, its cgroup gets a quota, its garbage collector is
forced, its sockets get small buffers. For each metric the true value is made from the server's log of the same
requests, by the same formula; the *error* is reported minus true, at p50 and p99. The *claim* is what the verdict's
reasons say about that metric. A line is

- `covered` if each error is within the claim and what needs no claim beside it: below their thresholds, 1 ms of a
  latency, 0.1 ms of ITL or 5 % of it, 1 % of a load, the rules are silent;
- `FALSE` if an error is larger. One such line ends the program with exit code 1.

A calm run must be `valid` on top of that. What a machine does not allow (a cgroup) is skipped, with words. Figures of
one machine: docs/truth.md.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from disturbances import (
    SERVER_CORE,
    WORKER_CORE,
    Disturb,
    SkippedError,
    burn,
    collected,
    end,
    quota,
    small_buffers,
    stop,
)

from aiperf.mock.truth import Truth, read_truth
from aiperf.units import NS_PER_MS, NS_PER_S

HANG_S = 60
NOISE_MS = 0.2
"""Between the report's clock and the log's; two trips over loopback are below it."""
WIDTH_FRACTION, NEGLIGIBLE_MS, NEGLIGIBLE_ITL_MS, LOAD_FRACTION = 0.05, 1.0, 0.1, 0.01
"""What needs no claim. Written down again here on purpose: an experiment that read the thresholds from the code could
not find them wrong."""
LAG_FRACTION = 0.1

STREAM = ("--ttft", "200", "--itl", "20")
BRIEF = ("--ttft", "20", "--itl", "1")
CLOSED = ("--streaming", "--osl", "50", "--concurrency", "64", "--benchmark-duration", "5")
RATE = (
    *("--streaming", "--osl", "20", "--request-rate", "100", "--arrival-pattern", "constant"),
    *("--benchmark-duration", "5"),
)


@dataclass(frozen=True)
class Experiment:
    name: str
    what: str
    server: Sequence[str]
    load: Sequence[str]
    disturb: Disturb | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    around: Callable[[], AbstractContextManager[tuple[Sequence[str], Mapping[str, str]]]] | None = None
    """Gives a command to run everything in, and variables for the run."""
    must_be_valid: bool = False


EXPERIMENTS = (
    Experiment("calm", "64 streams, nothing disturbs", STREAM, CLOSED, must_be_valid=True),
    Experiment("calm rate", "100 requests/s, nothing disturbs", STREAM, RATE, must_be_valid=True),
    Experiment("burnt", "two burners on the worker's core", STREAM, CLOSED, burn(2)),
    Experiment("starved", "the same, and the worker yields to them (SCHED_IDLE)", STREAM, CLOSED, burn(2, idle=True)),
    Experiment("burnt rate", "100 requests/s, two burners", STREAM, RATE, burn(2)),
    Experiment("starved rate", "100 requests/s, two burners, SCHED_IDLE", STREAM, RATE, burn(2, idle=True)),
    Experiment("quota", "a CPU limit of a fiftieth of a core", STREAM, CLOSED, quota(0.02)),
    Experiment("quota rate", "100 requests/s, a limit of a twentieth", STREAM, RATE, quota(0.05)),
    Experiment("stopped", "the worker is stopped for 1.5 s", STREAM, CLOSED, stop(1.5)),
    Experiment("stopped rate", "100 requests/s, stopped for 1.5 s", STREAM, RATE, stop(1.5)),
    Experiment("collected", "a large heap is collected every 0.4 s", STREAM, CLOSED, around=collected),
    Experiment("small buffers", "prompts of 300 KB, sockets that take 4 KB", STREAM,
               (*CLOSED, "--isl", "60000", "--num-prompts", "2"), around=small_buffers),
    Experiment("bunches", "events leave the server eight at a time", (*STREAM, "--events-per-write", "8"), CLOSED),
    Experiment("flood", "400 streams of a token each ms", BRIEF,
               ("--streaming", "--osl", "200", "--concurrency", "400", "--benchmark-duration", "5"), ),
    Experiment("too fast", "20,000 requests/s asked for", ("--ttft", "1", "--itl", "1"),
               ("--streaming", "--osl", "1", "--request-rate", "20000", "--benchmark-duration", "4")),
    Experiment("user stamps", "arrivals stamped in user space, nothing disturbs", STREAM,
               (*CLOSED, "--timestamps", "user")),
    Experiment("user stamps, starved", "the same, two burners, SCHED_IDLE", STREAM, (*CLOSED, "--timestamps", "user"),
               burn(2, idle=True)),
    Experiment("no credits", "the control host is stopped for 1.5 s", ("--ttft", "20", "--itl", "1"),
               ("--streaming", "--osl", "5", "--concurrency", "16", "--benchmark-duration", "5"),
               stop(1.5, host="control")),
)  # fmt: skip


# One run


@dataclass(frozen=True)
class Outcome:
    summary: dict[str, Any]
    lines: list[dict[str, Any]]
    truth: dict[str, Truth]
    exit_code: int


def run(experiment: Experiment) -> Outcome:
    """Raises: SkippedError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="verdict-")))
        inside, more = stack.enter_context(experiment.around()) if experiment.around else ((), {})
        environment = os.environ | {"TMPDIR": str(folder)}
        log = folder / "truth"
        server = subprocess.Popen(
            [*inside, sys.executable, "-m", "aiperf", "mock-server", "--truth-log", str(log), *experiment.server],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(end, server, signal.SIGTERM)
        os.sched_setaffinity(server.pid, {SERVER_CORE})
        assert server.stdout is not None
        url = server.stdout.readline().rpartition(" ")[2].strip()
        command = (
            *(*inside, sys.executable, "-m", "aiperf", "profile", "-m", "mock", "--tokenizer", "builtin"),
            *("--url", url, "--use-server-token-count", "--isl", "8", "--ui", "none", "--workers-max", "1"),
            *("--benchmark-grace-period", "20", "--artifact-dir", str(folder / "artifacts"), *experiment.load),
        )
        command = tuple(_without_repeated_flags(command))
        profile = subprocess.Popen(command, env=environment | dict(more))
        stack.callback(end, profile, signal.SIGKILL)
        worker = _worker_of(profile, folder)
        worker.cpu_affinity([WORKER_CORE])
        if experiment.disturb is not None:
            experiment.disturb(worker, stack)
        profile.wait(HANG_S)
        server.send_signal(signal.SIGTERM)
        server.wait(HANG_S)
        (results,) = (folder / "artifacts").iterdir()
        summary = json.loads((results / "profile_export_aiperf.json").read_bytes())
        lines = [json.loads(line) for line in (results / "profile_export.jsonl").read_bytes().splitlines()]
        return Outcome(summary, lines, read_truth(log), profile.returncode)


def _without_repeated_flags(command: Sequence[str]) -> Iterator[str]:
    """The last value of a flag counts: an experiment may say otherwise than the others."""
    last = {word: position for position, word in enumerate(command) if word.startswith("--")}
    skip = False
    for position, word in enumerate(command):
        if skip:
            skip = False
        elif word.startswith("--") and last[word] != position:
            skip = True
        else:
            yield word


def _worker_of(profile: subprocess.Popen, work_dir: Path) -> psutil.Process:
    """The process of the one worker: hosts are started in the order of the layout."""
    deadline = time.monotonic() + HANG_S
    while profile.poll() is None and time.monotonic() < deadline:
        children = sorted(psutil.Process(profile.pid).children(), key=lambda child: child.pid)
        for layout in work_dir.glob("*/layout.json") if children else ():
            with contextlib.suppress(ValueError):  # it is being written
                hosts = json.loads(layout.read_bytes())["hosts"]
                if len(children) == len(hosts):
                    ids = [[service["service_id"] for service in host["services"]] for host in hosts]
                    return children[ids.index(["worker-0"])]
        time.sleep(0.005)
    raise SystemExit("the run has no worker")


# Truth and claim


@dataclass(frozen=True)
class Line:
    """One metric of one run: by how much it was off, and what was said about it."""

    metric: str
    statistic: str
    error: float
    """Reported minus true, in the unit of the metric."""
    fraction: float
    claimed: float
    """The largest effect that a reason states in the error's direction; 0: none."""
    unclaimed_max: float
    """So much needs no claim."""
    noise: float = NOISE_MS

    @property
    def is_covered(self) -> bool:
        return abs(self.error) <= self.claimed + self.unclaimed_max + self.noise


def lines_of(outcome: Outcome) -> Iterator[Line]:
    yield from _latencies(outcome)
    yield from _load(outcome)


def _latencies(outcome: Outcome) -> Iterator[Line]:
    seen = [line for line in outcome.lines if line["error"] is None and not line["metadata"]["was_cancelled"]]
    rows = [outcome.truth[line["metadata"]["x_request_id"]] for line in seen]
    sent = np.array([row.sent_ns[0] for row in rows]) / NS_PER_MS
    last = np.array([row.sent_ns[-1] for row in rows]) / NS_PER_MS
    received = np.array([row.received_ns for row in rows]) / NS_PER_MS
    gaps = np.array([max(1, row.tokens - 1) for row in rows])
    true = {
        "time_to_first_token": sent - received,
        "request_latency": last - received,
        "inter_token_latency": (last - sent) / gaps,
    }
    due = [line["metadata"]["due_ns"] for line in seen]
    if seen and due[0] is not None:
        # Had the client been on time, each request would have been received when it was due.
        true["effective_time_to_first_token"], true["effective_latency"] = sent - received, last - received
    for tag, values in true.items():
        result = outcome.summary.get(tag, {"count": 0})
        if result["count"] < len(values) / 2:
            continue  # most had no gap between tokens to see
        for percent in (50, 99):
            if f"p{percent}" in result.get("lower_bounds", ()):
                continue  # the report says itself that it may be higher: some were cut, or never sent
            truth, told = float(np.percentile(values, percent)), result[f"p{percent}"]
            negligible = NEGLIGIBLE_ITL_MS if tag == "inter_token_latency" else NEGLIGIBLE_MS
            tolerated = WIDTH_FRACTION
            if tag.startswith("effective"):
                truth_p50 = float(np.percentile(true["time_to_first_token"], 50))
                negligible, tolerated = max(negligible, LAG_FRACTION * truth_p50), LAG_FRACTION
            unclaimed = max(negligible, tolerated * told)
            name = f"p{percent}"
            claimed = _claimed(outcome.summary, tag, name, too_high=told >= truth)
            yield Line(tag, name, told - truth, (told - truth) / truth if truth else 0.0, claimed, unclaimed)


def _load(outcome: Outcome) -> Iterator[Line]:
    """How much load the server saw, against what was asked for: while requests were sent, the drain left out."""
    asked = outcome.summary["input_config"]["load"]
    rows = outcome.truth.values()
    began = min(row.received_ns for row in rows)
    ended = began + round(asked["duration_s"] * NS_PER_S)
    if asked.get("request_rate"):
        lasted = max(ended, *(row.received_ns for row in rows)) - began
        achieved, offered = len(rows) * NS_PER_S / lasted, outcome.summary["offered_rate"]["avg"]
        short, tag = max(0.0, 1 - achieved / offered), "achieved_rate"
    else:
        answered = [row for row in rows if row.sent_ns]
        busy_then = sum(max(0, min(row.sent_ns[-1], ended) - row.received_ns) for row in answered)
        idle = asked["concurrency"] * (ended - began) - busy_then
        short, tag = max(0.0, idle) / sum(row.sent_ns[-1] - row.received_ns for row in answered), "request_throughput"
    claimed = _claimed(outcome.summary, tag, "avg", too_high=False, part="fraction")
    # A slot is in use, though the server does not see it, while its request is connected and sent. 1 ms for trips.
    unseen_ms = 1.0 + sum(outcome.summary[f"http_req_{part}"]["avg"] for part in ("blocked", "connecting", "sending"))
    noise = unseen_ms / outcome.summary["request_latency"]["avg"]
    yield Line(f"{tag} (share)", "avg", -short, -short, claimed, LOAD_FRACTION, noise)


def _claimed(summary: dict[str, Any], tag: str, statistic: str, *, too_high: bool, part: str = "amount") -> float:
    wanted = ("too_high", "either") if too_high else ("too_low", "either")
    return max(
        (
            effect["sizes"][statistic][part]
            for reason in summary["verdict"]["reasons"]
            for effect in reason["effects"]
            if effect["metric"] == tag and effect["direction"] in wanted and statistic in effect["sizes"]
        ),
        default=0.0,
    )


# The report


def report(experiment: Experiment) -> bool:
    """Prints one experiment; whether what the verdict says is true."""
    print(f"\n{experiment.name}: {experiment.what}", flush=True)
    try:
        outcome = run(experiment)
    except SkippedError as skipped:
        print(f"  skipped: {skipped}")
        return True
    verdict = outcome.summary["verdict"]
    rules = ", ".join(f"{reason['rule']} ({reason['severity']})" for reason in verdict["reasons"]) or "no reason"
    print(f"  verdict: {verdict['status']}; {rules}")
    for cause in verdict["causes"][:3]:
        print(f"  cause: {cause['text']}")
    is_true = verdict["status"] == "valid" or not experiment.must_be_valid
    if not is_true:
        print("  FALSE: nothing disturbed this run")
    for line in lines_of(outcome):
        if line.claimed or abs(line.error) > line.noise or not line.is_covered:
            claim = f"claimed {line.claimed:9.3f}" if line.claimed else "no claim"
            print(
                f"  {line.metric:30} {line.statistic:4} error {line.error:+9.3f} ({line.fraction:+7.1%})  {claim:18}  "
                f"{'covered' if line.is_covered else 'FALSE'}"
            )
        is_true &= line.is_covered
    return is_true


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="which experiments; all when none is named")
    parser.add_argument("--list", action="store_true", help="print their names")
    arguments = parser.parse_args()
    if arguments.list:
        for experiment in EXPERIMENTS:
            print(f"{experiment.name:20} {experiment.what}")
        return 0
    chosen = [each for each in EXPERIMENTS if not arguments.names or each.name in arguments.names]
    unknown = set(arguments.names) - {each.name for each in EXPERIMENTS}
    if unknown:
        parser.error(f"there is no experiment {', '.join(sorted(unknown))}")
    results = [report(each) for each in chosen]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
