"""What a run promises before it begins, of its plan and its number of processes.

Owns: load and needs → `Promise`. Does not own: the comparison with what was reached
(`aiperf.metrics.promise_kept`).
"""

from aiperf.deploy.costs import ROW_BYTES
from aiperf.deploy.needs import control_cost, needs, processor_cost, worker_cost
from aiperf.deploy.planned_load import PlannedLoad
from aiperf.metrics.promise import CONTROL, PROCESSOR, WORKER, ProcessPromise, Promise
from aiperf.plan.expectation import ExpectationPlan

MS_PER_S = 1_000
BYTES_PER_MB = 1_000_000


def promise_of(load: PlannedLoad, expectation: ExpectationPlan, workers: int, processors: int) -> Promise:
    """What can be promised of this load on so many processes."""
    needed = needs(load, workers, processors)
    return Promise(
        workers=workers,
        processes={
            WORKER: ProcessPromise(
                cost=worker_cost(load), cpus=needed.worker_cpus, memory_mb=needed.worker_bytes / BYTES_PER_MB
            ),
            PROCESSOR: ProcessPromise(
                cost=processor_cost(load), cpus=needed.processor_cpus, memory_mb=needed.processor_bytes / BYTES_PER_MB
            ),
            CONTROL: ProcessPromise(
                cost=control_cost(load),
                cpus=needed.control_cpus,
                memory_mb=(needed.control_bytes - ROW_BYTES * load.requests) / BYTES_PER_MB,
                row_bytes=ROW_BYTES,
            ),
        },
        cpu_factors=load.cpu_factors._asdict(),
        connections=load.connections if load.connections_known else None,
        # What a rate reached of what was asked for is told by `load` and the verdict; short runs at random fall short.
        requests_per_s=load.requests_per_s if load.request_s is not None else None,
        chunks_per_s=load.chunks_per_s if load.request_s is not None and load.output_tokens_known else None,
        ttft_ms=None if expectation.ttft_s is None else expectation.ttft_s * MS_PER_S,
        itl_ms=None if expectation.itl_s is None else expectation.itl_s * MS_PER_S,
        expects=expectation.ttft_s is not None or expectation.itl_s is not None,
    )
