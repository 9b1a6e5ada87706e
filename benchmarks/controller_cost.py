"""The controller's cost at scale: real control services, simulated workers, the real wire over TCP.

    python benchmarks/controller_cost.py [--workers 200] [--rate 10000] [--slots 100000] [--mode closed|open|both]
                                         [--curve] [--double] [--slow K …] [--fit]

One process hosts the system controller, worker manager, dataset manager, timing manager and records manager of a layout
with a record processor beside each worker, by `run_host` as a controller pod does. Other processes hold the workers and
record processors (`simulated_fleet`). After a ramp the kernel's account of the control host's CPU time is read over
several windows, each of whole intervals of the slowest kind of message; figures are medians of the windows. `closed`:
the slots are kept full by an endpoint whose latency makes the rate. `open`: the rate has due times.

    --curve     with the encryption that the wire has between pods
    --double    each point again with twice the rate
    --slow K …  everything that requests cause comes K times slower and is as large as at full speed; what time causes
                (heartbeats, looks at clocks, ticks) comes as at full speed. CPU = a + b / K then, and full speed costs
                a + b: for a machine that has no room for the fleet beside the controller. With three Ks or more the
                fit's worst residual is told
    --fit       several points, and cost = a + b * workers + c * messages + d * requests over them

CPU is that of the whole process; `loop` of its main thread (Python), `wire` of ZeroMQ's I/O thread; `+-` half of the
range of the windows. A point counts only if the fleet kept its rhythm and the rate was reached over all windows: `late`
is how far the fleet was behind, `sent` the requests that began, `shown` those that the live view counted.
"""

import argparse
import contextlib
import dataclasses
import math
import os
import signal
import socket
import statistics
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zmq
from simulated_fleet import COUNTERS, Counters, Load, start_fleet

from aiperf.clock import measure_anchor_ns
from aiperf.deploy.layouts import channels_of, service_table
from aiperf.plan.plan import (
    EndpointPlan,
    InputPlan,
    LoadPlan,
    Plan,
    ResultsPlan,
    ServicesPlan,
    TokenizerPlan,
    WarmupPlan,
)
from aiperf.service.cadence import cadence_of
from aiperf.service.host import Equipment, run_host, start_logging
from aiperf.service.layout import LOG_NAME, SINGLETONS, Host, Layout, ServiceSeat
from aiperf.service.machine import this_machine
from aiperf.units import NS_PER_S
from aiperf.wire.bus import CONTROLLER, OPERATOR
from aiperf.wire.curve import WireKeys, make_wire_keys, secure
from aiperf.wire.messages import OperatorJoined, Progress, RunFinished, decode, encode

WORKERS_PER_FLEET = 1_100
STARTUP_S = 200
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
LATE_MS_MAX = 500
OPEN_LOOPBACK = "localhost"
"""By this name the wire takes loopback for a place that others can reach, and encrypts."""
OPEN_LATENCY_S = 2.0


@dataclass(frozen=True, slots=True)
class Point:
    """What was asked for."""

    mode: str
    workers: int
    rate_rps: int
    slots: int
    curve: bool
    slow: int
    """Requests, returns and columns come so many times slower, each as large as at full speed."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What it cost. Rates are per second of the window."""

    cpu: float
    loop_cpu: float
    wire_cpu: float
    messages_rps: float
    returns_rps: float
    batches_rps: float
    columns_rps: float
    beats_rps: float
    probes_rps: float
    requests_rps: float
    rss_mb: float
    late_ms: int
    refused: int
    shown_rps: float
    """Completed requests per second as the live view counts them."""
    spread_cpu: float = 0.0
    """Half of the range of the windows."""


def plan_of(point: Point) -> Plan:
    load = (
        LoadPlan(concurrency=point.slots, duration_s=3_600)
        if point.mode == "closed"
        else LoadPlan(request_rate=point.rate_rps / point.slow, duration_s=3_600)
    )
    return Plan(
        endpoint=EndpointPlan(models=("m",), streaming=True),
        tokenizer=TokenizerPlan(tokenizer="builtin"),
        input=InputPlan(isl_mean_tokens=4, entries_count=10),
        load=load,
        warmup=WarmupPlan(),
        results=ResultsPlan(export_level="summary"),
        services=ServicesPlan(),
    )


def layout_of(point: Point, folder: Path) -> Layout:
    """The hosts of a compact topology, on ports of this machine's loopback."""
    seats = service_table(point.workers, point.workers)
    with contextlib.ExitStack() as stack:
        ports = {}
        for channel in ("control", "credits", "columns"):
            taken = stack.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            ports[channel] = taken.getsockname()[1]
    near = [ServiceSeat(kind.value, kind) for kind in SINGLETONS]
    place = OPEN_LOOPBACK if point.curve else "127.0.0.1"
    return Layout(
        run_id="scale",
        hosts=[
            Host("control", near),
            *(Host(s.service_id, [s], machine=f"pod-{s.service_id.rpartition('-')[2]}") for s in seats),
        ],
        addresses={
            channel: [f"inproc://{channel}", f"tcp://{place}:{ports[channel]}"]
            if channel in ports
            else ["inproc://-", "tcp://127.0.0.1:1"]
            for channel in channels_of(seats)
        },
        anchor_ns=measure_anchor_ns(),
        artifact_dir=str(folder),
        work_dir=str(folder / "work"),
        data_dir=str(folder / "data"),
        random_seed=1,
        startup_limit_s=STARTUP_S,
    )


def start_control(layout: Layout, plan: Plan, keys: WireKeys | None) -> int:
    """The control host as a process of its own; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        start_logging(layout, "info", "control")
        os._exit(run_host("control", layout, plan, equipment=Equipment(wire_keys=keys)))
    except BaseException:  # noqa: BLE001 (a child that was forked must not go on as its parent)
        traceback.print_exc()
    finally:
        os._exit(1)


def cpu_ticks(pid: int) -> dict[int, int]:
    """User plus system time of each thread. Units: clock ticks."""
    ticks = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            fields = (thread / "stat").read_text().rpartition(")")[2].split()
            ticks[int(thread.name)] = int(fields[11]) + int(fields[12])
    return ticks


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class OperatorSeat:
    """Listens to the progress as the command does."""

    def __init__(self, layout: Layout, keys: WireKeys | None) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.IDENTITY, OPERATOR.encode())
        if keys is not None:
            secure(self._socket, keys, binds=False)
        self._socket.connect(layout.addresses["control"][-1])
        self._socket.send_multipart([CONTROLLER.encode(), encode(OperatorJoined())])
        self.progress: Progress | None = None
        self.completed_count = 0

    def listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not self._socket.poll(left * 1e3):
                continue
            _, payload = self._socket.recv_multipart()
            match decode(payload):
                case Progress() as progress:
                    self.progress, self.completed_count = progress, progress.completed_count
                case RunFinished() as finished:
                    raise SystemExit(f"the run ended: {finished.outcome} {finished.reason}")

    def close(self) -> None:
        self._socket.close()
        self._context.term()


def measure(point: Point, ramp_s: float, window_s: float, windows: int, on_steady: str = "") -> Figures:
    """One point: start, ramp, windows, end."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "data").mkdir()
        layout, plan = layout_of(point, folder), plan_of(point)
        keys = make_wire_keys() if point.curve else None
        latency_s = point.slow * point.slots / point.rate_rps if point.mode == "closed" else OPEN_LATENCY_S
        load = Load(int(latency_s * NS_PER_S), point.mode == "closed")
        control = start_control(layout, plan, keys)
        stack.callback(end, control)
        cadence = cadence_of(layout)
        cadence = cadence._replace(
            return_interval_s=cadence.return_interval_s * point.slow,
            column_interval_s=cadence.column_interval_s * point.slow,
        )
        fleets = []
        for first in range(0, point.workers, WORKERS_PER_FLEET):
            members = range(first, min(first + WORKERS_PER_FLEET, point.workers))
            counters = Counters()
            stack.callback(end, start_fleet(layout, members, cadence, load, counters, keys))
            fleets.append(counters)
        operator = OperatorSeat(layout, keys)
        stack.callback(operator.close)
        wait_for_load(operator, fleets, folder / LOG_NAME)
        slowest_s = cadence.column_interval_s
        operator.listen(max(ramp_s, 1.5 * slowest_s))
        if on_steady:
            os.system(on_steady.format(pid=control))
        whole_s = math.ceil(window_s / slowest_s) * slowest_s
        return median_of([window(control, fleets, operator, whole_s) for _ in range(windows)])


def median_of(windows: list[Figures]) -> Figures:
    """CPU and messages as in the middle window, what must be right throughout as over all of them."""
    cpus = [figures.cpu for figures in windows]
    median = Figures(
        **{
            name: statistics.median(getattr(figures, name) for figures in windows)
            for name in Figures.__dataclass_fields__
        }
    )
    return dataclasses.replace(
        median,
        requests_rps=statistics.mean(figures.requests_rps for figures in windows),
        shown_rps=statistics.mean(figures.shown_rps for figures in windows),
        rss_mb=max(figures.rss_mb for figures in windows),
        late_ms=max(figures.late_ms for figures in windows),
        refused=sum(figures.refused for figures in windows),
        spread_cpu=(max(cpus) - min(cpus)) / 2,
    )


def wait_for_load(operator: OperatorSeat, fleets: list[Counters], log: Path) -> None:
    for _ in range(STARTUP_S * 2):
        operator.listen(0.5)
        if operator.progress is not None and all(fleet.values[COUNTERS.index("returns")] for fleet in fleets):
            return
    print(*log.read_text().splitlines()[-20:], sep="\n")
    raise SystemExit(f"no load after {STARTUP_S} s: {[fleet.look() for fleet in fleets]}")


def window(control: int, fleets: list[Counters], operator: OperatorSeat, window_s: float) -> Figures:
    def total() -> dict[str, int]:
        looks = [fleet.look() for fleet in fleets]
        return {name: sum(look[name] for look in looks) for name in COUNTERS}

    before, ticks_before, began, shown = total(), cpu_ticks(control), time.monotonic(), operator.completed_count
    late_ms = 0
    while time.monotonic() - began < window_s:
        operator.listen(0.5)
        late_ms = max(late_ms, *(fleet.look()["late_ms"] for fleet in fleets))
    after, ticks_after, seconds = total(), cpu_ticks(control), time.monotonic() - began
    spent = {
        thread: (ticks - ticks_before.get(thread, 0)) / TICKS_PER_S / seconds for thread, ticks in ticks_after.items()
    }
    per_s = {name: (after[name] - before[name]) / seconds for name in COUNTERS}
    loop = spent.get(control, 0.0)
    return Figures(
        cpu=sum(spent.values()),
        loop_cpu=loop,
        wire_cpu=sum(spent.values()) - loop,
        messages_rps=per_s["sent"] + per_s["received"],
        returns_rps=per_s["returns"],
        batches_rps=per_s["batches"],
        columns_rps=per_s["columns"],
        beats_rps=per_s["beats"],
        probes_rps=per_s["probes"],
        requests_rps=per_s["requests"],
        rss_mb=rss_mb(control),
        late_ms=late_ms,
        refused=after["refused"] - before["refused"],
        shown_rps=(operator.completed_count - shown) / seconds,
    )


def end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


HEAD = (
    "mode    workers     slots     asked      sent     shown |   CPU   +-  loop  wire | msg/s in+out: all  returns"
    "  batches  columns  beats probes | MB RSS  late ms"
)


def row(point: Point, got: Figures) -> str:
    is_whole = min(got.requests_rps, got.shown_rps) > 0.9 * point.rate_rps / point.slow
    doubt = "" if got.late_ms < LATE_MS_MAX and is_whole else "  NOT SUSTAINED"
    return (
        f"{point.mode:6} {point.workers:8,} {point.slots:9,} {point.rate_rps // point.slow:9,} "
        f"{got.requests_rps:9,.0f} "
        f"{got.shown_rps:9,.0f} | {got.cpu:5.2f} {got.spread_cpu:4.2f} "
        f"{got.loop_cpu:5.2f} {got.wire_cpu:5.2f} | {got.messages_rps:17,.0f} "
        f"{got.returns_rps:8,.0f} {got.batches_rps:8,.0f} {got.columns_rps:8,.0f} {got.beats_rps:6,.0f} "
        f"{got.probes_rps:6,.0f} | {got.rss_mb:6,.0f} {got.late_ms:8,}{doubt}"
    )


def fit(points: list[tuple[Point, Figures]]) -> str:
    """Least squares over the points, no term below nothing."""
    table = np.array([[1.0, p.workers / 1e3, f.messages_rps / 1e3, f.requests_rps / 1e4] for p, f in points])
    costs = np.array([f.cpu for _, f in points])
    chosen = list(range(table.shape[1]))
    while True:
        found, *_ = np.linalg.lstsq(table[:, chosen], costs, rcond=None)
        if (found >= 0).all():
            break
        chosen.pop(int(np.argmin(found)))
    terms = dict.fromkeys(range(4), 0.0) | dict(zip(chosen, found.tolist(), strict=True))
    worst = float(np.abs(table[:, chosen] @ found - costs).max())
    return (
        f"CPU = {terms[0]:.3f} + {terms[1]:.3f} per 1,000 workers + {terms[2]:.4f} per 1,000 messages/s "
        f"+ {terms[3]:.4f} per 10,000 requests/s (off by {worst:.3f} at most)"
    )


def full_speed(points: list[tuple[Point, Figures]]) -> str:
    """What one load costs at full speed, by the line through slower ones."""
    table = np.array([[1.0, 1.0 / point.slow] for point, _ in points])
    costs = np.array([figures.cpu for _, figures in points])
    (fixed, moving), *_ = np.linalg.lstsq(table, costs, rcond=None)
    worst = float(np.abs(table @ [fixed, moving] - costs).max())
    return f"at full speed {fixed + moving:.2f} CPU = {fixed:.2f} + {moving:.2f}, by {len(points)} (off by {worst:.3f})"


def points_of(options: argparse.Namespace) -> list[Point]:
    modes = ["closed", "open"] if options.mode == "both" else [options.mode]
    sizes = [(1.0, 1)]
    if options.fit:
        sizes = [(0.25, 1), (0.5, 1), (0.5, 2), (1.0, 1), (1.0, 2)]
    elif options.double:
        sizes = [(1.0, 1), (1.0, 2)]
    return [
        Point(
            mode=mode,
            workers=max(1, int(options.workers * share)),
            rate_rps=int(options.rate * share) * factor,
            slots=int(options.slots * share),
            curve=options.curve,
            slow=slow,
        )
        for mode in modes
        for share, factor in sizes
        for slow in options.slow
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=100_000)
    parser.add_argument("--mode", choices=["closed", "open", "both"], default="both")
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--slow", type=int, nargs="+", default=[1])
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--ramp", type=float, default=5.0)
    parser.add_argument("--window", type=float, default=8.0)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--on-steady", default="", help="a command to run before the window; {pid} is the control host")
    options = parser.parse_args()
    this_machine()  # raises the limit of open files: a fleet has eight a worker
    print(HEAD, flush=True)
    measured: list[tuple[Point, Figures]] = []
    for point in points_of(options):
        figures = measure(point, options.ramp, options.window, options.windows, options.on_steady)
        measured.append((point, figures))
        print(row(point, figures), flush=True)
        slower = [(p, f) for p, f in measured if dataclasses.replace(p, slow=1) == dataclasses.replace(point, slow=1)]
        if len(slower) > 1:
            print(f"  {full_speed(slower)}", flush=True)
        before = [
            f
            for p, f in measured
            if (p.mode, p.workers, 2 * p.rate_rps, p.slow) == (point.mode, point.workers, point.rate_rps, point.slow)
        ]
        if before:
            print(f"  twice the requests cost {figures.cpu / before[0].cpu:.2f} times", flush=True)
    if options.fit:
        print(fit(measured))


if __name__ == "__main__":
    sys.exit(main())
