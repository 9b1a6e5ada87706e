"""What things cost: one connection, request, chunk, process. One table for one machine, for pods and for the promise.

Owns: the figures, each with the measurement that gave it. Does not own: how much of what a load needs (`needs`), what
is asked of a machine or a cluster for it (`local_size`, `kubernetes.sizing`).

Measured on one core of an ordinary server (benchmarks/README.md, "Where the CPU time goes"; docs/how-to-plan.md tells
how well they were kept). CPU on other machines differs by a factor, and the promise of a run says by which.
"""

from typing import NamedTuple

from aiperf.metrics.service_cost import ServiceCost
from aiperf.plan.quantities import MIB

# CPU

WORKER_CHUNK_US = 1e6 / 110_000
"""benchmarks/pipeline_cost.py chunks: 8.0 to 8.3 at 2,000,000 chunks; a tenth more where the stream is less dense."""
WORKER_REQUEST_US = 1e6 / 50_000
"""With its first chunk. benchmarks/pipeline_cost.py requests: 19.5 to 20.5."""

WORKER = ServiceCost(
    fixed_s=0.05,
    idle_cpus=0.01,
    request_us=WORKER_REQUEST_US - WORKER_CHUNK_US,
    chunk_us=WORKER_CHUNK_US,
    wake_us=55.0,
    gather_s=0.001,
)
"""`wake_us` and `gather_s`: from runs at 460, 4,600, 9,900 and 42,000 chunks/s, which took 51, 16, 13 and 7 µs a chunk
without what is fixed (docs/how-to-plan.md). 56 for each chunk that comes alone: decision 0048. Slow answers are read by
time, which gathers more (`needs.worker_cost`)."""

SPREAD_GATHER_S = 0.0001
"""`gather_s` of a worker at a rate: requests that are begun one by one bring chunks one by one, whereas slots that are
filled together bring them together. 1,000 and 2,000 requests/s of 4 chunks took 210 and 100 to 160 µs each."""

PROCESSOR = ServiceCost(fixed_s=0.04, idle_cpus=0.003, request_us=31.0, chunk_us=4.0)
"""benchmarks/pipeline_cost.py: 30 to 31 a request; 2.6 a chunk of a dense stream, 3.2 to 3.8 at usual rates."""

CONTROL = ServiceCost(fixed_s=0.03, idle_cpus=0.009, request_us=5.6, chunk_us=0.1)
"""All services that there are once, in one process. benchmarks/pipeline_cost.py: 5.1 to 5.6 a request."""
CONTROL_CPUS_PER_WORKER = 0.0004
"""Heartbeats, credit batches, columns: 2,000 workers must not need more than a core. benchmarks/controller_cost.py."""

COMMAND_CPUS = 0.02
"""The command itself, with its live view, on the user's machine."""


class CpuFactors(NamedTuple):
    """By how much CPU times of a machine differ from those above, by kind of process."""

    worker: float = 1.0
    record_processor: float = 1.0
    control: float = 1.0


AS_MEASURED = CpuFactors()


# Memory

PROCESS_BYTES = 64 * MIB
"""Of any host before it does anything: measured 54 MiB after all imports."""
PRIVATE_PROCESS_BYTES = 30 * MIB
"""Of it what other hosts of the same machine do not share: they are forked from one process after its imports.
benchmarks/memory.py demo: 105 to 112 MB in all for four of them."""
PLAIN_CONNECTION_BYTES = 2_400
"""benchmarks/connection_memory.py: 2.2 to 2.4 KB."""
TLS_CONNECTION_BYTES = 39_000
"""The same: 31 KB at 3,000 connections to 39 KB at 1,000."""
PROCESSOR_WORK_BYTES = 32 * MIB
"""Slices, columns and lines in hand."""
PROCESSOR_STREAM_BYTES = 3_600
"""Of one open stream in the record processor, whose text waits for the end of the answer."""
CONTROL_WORK_BYTES = 48 * MIB
CONTROL_BYTES_PER_WORKER = MIB // 4
ROW_BYTES = 256
"""Of one request in the records manager's columns, export included."""
KERNEL_CONNECTION_BYTES = 4_400
"""Of an idle connection on this side, in the kernel: 4.0 KB of slab for socket, file and inode (16,000 sockets on
loopback, /proc/meminfo), and its entry in the epoll set. What waits in socket buffers comes on top: little, if the
worker keeps up."""

# Bounds

BUSY_FRACTION = 0.5
"""Of one core: a busier event loop is late too often."""
NOMINAL_OUTPUT_TOKENS = 256
"""Where the plan does not say how long answers are."""
NOMINAL_REQUEST_S = 10
"""In open loop, how long a request holds its connection where nobody says how fast the service is."""
TIME_WAIT_S = 60
"""A port stays taken so long after its connection was closed from this side. Source: Linux, TCP_TIMEWAIT_LEN."""
