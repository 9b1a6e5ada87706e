"""What partial results cost: CPU time per record to make, send and merge them, by size of batch.

    python benchmarks/partial_cost.py

Measured on one core of a 2-core virtual machine, Python 3.11, numpy 2.4, 99 gaps between chunks in each record:
    batch of 500: make 3.0 us a record (1.1 without gaps), frames 0.04 each way, merge 0.35; live view 1.3 ms at most
    batch of 1: make 360 us, frames 10 us each way, merge 10 us
"""

import time
from collections.abc import Callable

import numpy as np

from aiperf.metrics.partial import Partial
from aiperf.record.facts import FACTS_DTYPE, FactsArray
from aiperf.schedule.phases import PhaseKind

GAPS_PER_RECORD = 99
MS = 1_000_000


def batch(count: int) -> FactsArray:
    """Streamed requests like a loaded server's."""
    random = np.random.default_rng(1)
    rows = np.zeros(count, FACTS_DTYPE)
    rows["phase"], rows["worker_index"], rows["http_status"] = PhaseKind.PROFILING, random.integers(0, 4, count), 200
    rows["due_ns"] = 1_700_000_000_000 * MS + random.integers(0, 60_000 * MS, count)
    rows["dispatched_ns"] = rows["sent_ns"] = rows["send_done_ns"] = rows["due_ns"]
    first = rows["sent_ns"] + random.lognormal(5, 0.3, count).astype(np.int64) * MS
    last = first + random.integers(200 * MS, 900 * MS, count)
    rows["first_byte_ns"] = rows["first_content_ns"] = rows["first_output_ns"] = first
    rows["second_content_ns"], rows["last_content_ns"], rows["end_ns"] = first + 10 * MS, last, last
    rows["content_chunk_count"], rows["first_chunk_tokens"] = GAPS_PER_RECORD + 1, 1
    for name in rows.dtype.names or ():
        if name.startswith("usage") or name in ("isl_tokens", "output_tokens", "client_output_tokens"):
            rows[name] = 100
    return rows


def cpu_us(action: Callable[[], object], times: int) -> float:
    """CPU time of one call, the best of five rounds. Units: µs."""
    rounds = []
    for _ in range(5):
        begun = time.process_time()
        for _ in range(times):
            action()
        rounds.append((time.process_time() - begun) / times * 1e6)
    return min(rounds)


def measure(count: int) -> None:
    facts, times = batch(count), max(20, 2_000 // count)
    gaps_ns = np.full(count * GAPS_PER_RECORD, 10 * MS) + np.arange(count * GAPS_PER_RECORD)
    gap_counts = np.full(count, GAPS_PER_RECORD)
    none, zeros = np.zeros(0, np.int64), np.zeros(count, np.int64)
    partial, total = Partial.of(facts, gaps_ns, gap_counts), Partial.empty()
    frames = partial.to_frames()
    figures = {
        "make": cpu_us(lambda: Partial.of(facts, gaps_ns, gap_counts), times),
        "make without gaps": cpu_us(lambda: Partial.of(facts, none, zeros), times),
        "to frames": cpu_us(partial.to_frames, times),
        "from frames": cpu_us(lambda: Partial.from_frames(frames), times),
        "merge": cpu_us(lambda: total.merge(partial), max(20, 100_000 // count)),
    }
    live_us = cpu_us(total.live_statistics, 1)
    print(f"batch of {count}, {sum(map(len, frames)):,} bytes; live view {live_us:,.0f} us")
    for what, us in figures.items():
        print(f"  {what:<18}{us:>9,.1f} us a batch {us / count:>9,.2f} us a record")


if __name__ == "__main__":
    for records_count in (500, 100, 1):
        measure(records_count)
