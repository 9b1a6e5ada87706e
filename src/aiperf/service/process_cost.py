"""What this process has cost: CPU time and memory, as the kernel accounts them.

Owns: reading both. Does not own: what was promised (`aiperf.metrics.promise`), other self-observation.
"""

import resource
import sys
import time

_RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024
"""Of `ru_maxrss`. Source: getrusage(2) of both systems."""


def cpu_s() -> float:
    """CPU seconds of all threads of the process so far; of a forked one, since the fork."""
    return time.process_time()


def process_cost(since_cpu_s: float = 0.0) -> dict[str, float]:
    """By name with unit: CPU time since then, and the most memory that was resident at once (MB: 10^6 bytes)."""
    resident_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT_BYTES
    return {"cpu_s": max(0.0, cpu_s() - since_cpu_s), "memory_max_mb": resident_bytes / 1e6}
