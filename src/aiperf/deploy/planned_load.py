"""Plan → the heaviest moment of its load, as far as it is known before the run.

Owns: connections, requests and chunks per second, how long a request takes by what the user expects of the service.
Does not own: what that costs (`costs`, `needs`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiperf.deploy.costs import AS_MEASURED, NOMINAL_OUTPUT_TOKENS, NOMINAL_REQUEST_S, CpuFactors
from aiperf.deploy.earlier_run import cpu_factors
from aiperf.plan.plan import Plan
from aiperf.schedule.phases import Mode, PhasePlan
from aiperf.units import NS_PER_S

PEAK_SIGMAS = 4
"""Arrivals at random bunch: so many standard deviations above the average are taken for the most in flight at once."""


@dataclass(frozen=True, slots=True)
class PlannedLoad:
    """The most that is asked for at once."""

    connections: int
    requests_per_s: float | None
    """None where the service alone decides."""
    chunks_per_request: float
    requests: int
    """In all, of the phases of which that is known."""
    tls: bool
    request_s: float | None = None
    """How long a request is expected to take; None if nobody said."""
    gap_s: float | None = None
    """Expected between two chunks of a stream; None if nobody said, or there is no second one."""
    connections_known: bool = True
    """Not where they are a guess, since at a rate nobody said how long a request takes."""
    output_tokens_known: bool = True
    requests_known: bool = True
    """Not where a phase ends by time, and its pace is the service's alone: then there are more."""
    concurrency: int | None = None
    """The most that was asked for; None in open loop."""
    rate_asked_rps: float | None = None
    """The highest rate asked for, whatever the slots let through; None in closed loop."""
    opens_each: bool = False
    """Each request opens a connection of its own."""
    cpu_factors: CpuFactors = AS_MEASURED
    """Of the machine that carries it."""
    servers: tuple[str, ...] = ()
    """Hosts and ports that requests are dealt to in turn, one for each URL."""

    @property
    def chunks_per_s(self) -> float | None:
        return None if self.requests_per_s is None else self.requests_per_s * self.chunks_per_request

    @property
    def connections_held(self) -> int:
        """Those that are certain to be wanted at once; 0 where nothing is."""
        return self.connections if self.connections_known else self.concurrency or 0

    @property
    def is_on_loopback(self) -> bool:
        """Whether all servers are on this machine, by addresses of which it has millions."""
        hosts = {urlsplit(f"//{server}").hostname or "" for server in self.servers}
        return bool(hosts) and all(host == "localhost" or host.startswith("127.") for host in hosts)


def planned_load(plan: Plan, phases: Sequence[PhasePlan]) -> PlannedLoad:
    """What the phases ask for at most; the plan must hold no sweep. Raises: PlanError if `--costs-from` is no help."""
    tokens = plan.input.osl_mean_tokens
    known = isinstance(tokens, int)
    length = tokens if isinstance(tokens, int) else NOMINAL_OUTPUT_TOKENS
    request_s = plan.expectation.request_s(length)
    counts = [_requests(phase, request_s) for phase in phases]
    paces = [pace for phase in phases if (pace := _requests_per_s(phase, request_s)) is not None]
    return PlannedLoad(
        connections=max(_connections(phase, request_s) for phase in phases),
        requests_per_s=max(paces, default=None),
        chunks_per_request=length if plan.endpoint.streaming else 1,
        requests=sum(counts),
        tls=any(url.startswith("https://") for url in plan.endpoint.urls),
        request_s=request_s,
        gap_s=plan.expectation.itl_s if plan.endpoint.streaming and length > 1 else None,
        connections_known=request_s is not None or all(phase.concurrency is not None for phase in phases),
        output_tokens_known=known,
        requests_known=all(counts),
        concurrency=max((phase.concurrency for phase in phases if phase.concurrency is not None), default=None),
        rate_asked_rps=max((phase.rate_rps for phase in phases if phase.rate_rps is not None), default=None),
        opens_each=plan.endpoint.connection_reuse == "never",
        cpu_factors=cpu_factors(source) if (source := plan.expectation.costs_from) else AS_MEASURED,
        servers=tuple(map(_server, plan.endpoint.urls)),
    )


def _requests_per_s(phase: PhasePlan, request_s: float | None) -> float | None:
    """By the rate asked for, and by what the slots let through."""
    by_slots = None if request_s is None or phase.concurrency is None else phase.concurrency / request_s
    return min((pace for pace in (phase.rate_rps, by_slots) if pace is not None), default=None)


def _connections(phase: PhasePlan, request_s: float | None) -> int:
    if phase.mode is not Mode.OPEN:
        return phase.concurrency or 1
    assert phase.rate_rps is not None
    if request_s is None:
        return math.ceil(phase.rate_rps * NOMINAL_REQUEST_S)
    average = phase.rate_rps * request_s
    return math.ceil(average + PEAK_SIGMAS * math.sqrt(average))


def _requests(phase: PhasePlan, request_s: float | None) -> int:
    """0 if unknown."""
    pace, by_pace = _requests_per_s(phase, request_s), 0
    if pace is not None and phase.duration_ns is not None:
        by_pace = math.ceil(pace * phase.duration_ns / NS_PER_S)
    known = [count for count in (phase.request_count or 0, by_pace) if count]
    return min(known, default=0)


def _server(url: str) -> str:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
