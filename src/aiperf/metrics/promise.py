"""What a run was promised to need and to reach.

Owns: the promise's form. Does not own: how it is made (`aiperf.deploy.promising`), figures of cost
(`aiperf.deploy.costs`), its comparison with the run (`promise_kept`).

What depends on how many requests come is promised by the request. So it can be promised, too, where the pace is the
service's alone.
"""

import msgspec

from aiperf.metrics.service_cost import ServiceCost

WORKER, PROCESSOR, CONTROL = "worker", "record_processor", "control"
"""Kinds of processes."""


class ProcessPromise(msgspec.Struct, frozen=True, kw_only=True):
    """Of the processes of one kind."""

    cost: ServiceCost
    cpus: float | None
    """Kept busy by all of them at the planned pace; None where the pace is the service's alone."""
    memory_mb: float
    """Of one of them at the most, without its rows."""
    row_bytes: int = 0
    """Kept of each request."""


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """Made before the run, of what is known then. None: nobody could know."""

    workers: int
    processes: dict[str, ProcessPromise]
    """By kind."""
    cpu_factors: dict[str, float] = {}
    """By how much the costs differ from the table, by kind."""
    connections: int | None = None
    """Open at once at the most."""
    requests_per_s: float | None = None
    chunks_per_s: float | None = None
    ttft_ms: float | None = None
    itl_ms: float | None = None
    expects: bool = False
    """The user said how fast the service is expected to be."""
