"""How late a process gets on a core that two others want all of: with usual time slices and with short ones.

    python benchmarks/short_slices.py [--rounds 3] [--work-us 50]

It wants to wake up every millisecond and then works a little, as a worker does. Its lateness is what makes chunks share
a read. By turns with and without `aiperf.service.short_slice`; each turn takes three seconds.

Measured on 25 November 2026 on one of 2 shared cores on which others worked, too (Linux 6.18; load 15), single rounds,
lateness p90 / p99 in ms, usual slices → short ones:
     50 µs of work     1.9 / 7.0 → 0.9 / 4.7      0.5 / 3.0 → 0.07 / 3.0      1.2 / 8.0 → 1.5 / 5.9
    300 µs of work     4.7 / 13 → 4.0 / 8.8       6.2 / 16 → 4.7 / 11
"""

import argparse
import os
import subprocess
import sys
import time

from aiperf.service.short_slice import ask_for_short_slices

SECONDS = 2.0
INTERVAL_NS = 1_000_000
BURNER = "import time\nend = time.monotonic() + 10\nwhile time.monotonic() < end: pass"


def lateness_ms(work_us: int) -> list[float]:
    """Of each time it woke up, in ascending order."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    burners = [subprocess.Popen([sys.executable, "-c", BURNER]) for _ in range(2)]
    try:
        time.sleep(0.5)
        late_ns, end_ns = [], time.monotonic_ns() + round(SECONDS * 1e9)
        due_ns = time.monotonic_ns() + INTERVAL_NS
        while due_ns < end_ns:
            time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
            now_ns = time.monotonic_ns()
            late_ns.append(now_ns - due_ns)
            while time.monotonic_ns() < now_ns + work_us * 1000:
                pass
            due_ns = max(due_ns + INTERVAL_NS, time.monotonic_ns())
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    return sorted(late / 1e6 for late in late_ns)


def turn(name: str, work_us: int) -> None:
    """In a process of its own, which keeps its slices as they are."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    if name == "short" and not ask_for_short_slices():
        print("this kernel gives no short slices")
    late = lateness_ms(work_us)
    p50, p90, p99 = (late[len(late) * percent // 100] for percent in (50, 90, 99))
    print(
        f"{name:6} {len(late):5} times, late p50 {p50:.3f}, p90 {p90:.3f}, p99 {p99:.3f}, max {late[-1]:.3f} ms",
        flush=True,
    )
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work-us", type=int, default=50)
    options = parser.parse_args()
    for _ in range(options.rounds):
        for name in ("usual", "short"):
            turn(name, options.work_us)


if __name__ == "__main__":
    main()
