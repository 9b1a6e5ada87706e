"""What the processes of one kind of service cost, as a formula of the load.

Owns: the formula. Does not own: its figures (`aiperf.deploy.costs`), the load (`aiperf.deploy.planned_load`).

    CPU = fixed, once + idle x time + requests x request + chunks x chunk + wake-ups x wake-up

A process that is woken for a single chunk pays for the wake-up (a switch to it, the event loop, cold caches) more than
for the chunk; what comes meanwhile is taken along. So of occasions (chunks, and requests where each is due by itself)
that come at a rate r to one process, there is one wake-up for 1 + r x `gather_s` of them, and never more than
1 / `gather_s` in a second.
"""

import msgspec


class ServiceCost(msgspec.Struct, frozen=True, kw_only=True):
    """Of one kind of process. CPU times in µs of one core."""

    fixed_s: float
    """CPU seconds of each process for its beginning and its end."""
    idle_cpus: float
    """CPUs of each process while nothing comes."""
    request_us: float
    """Of a request without its chunks."""
    chunk_us: float
    wake_us: float = 0.0
    gather_s: float = 0.001
    wakes_for_requests: bool = False

    def scaled(self, factor: float) -> "ServiceCost":
        """On a machine that takes so many times the CPU time."""
        return msgspec.structs.replace(
            self,
            fixed_s=self.fixed_s * factor,
            idle_cpus=self.idle_cpus * factor,
            request_us=self.request_us * factor,
            chunk_us=self.chunk_us * factor,
            wake_us=self.wake_us * factor,
        )

    def load_cpus(self, requests_per_s: float, chunks_per_s: float) -> float:
        """CPUs kept busy by requests and chunks alone, however many processes share them."""
        return (requests_per_s * self.request_us + chunks_per_s * self.chunk_us) / 1e6

    def cpus(self, requests_per_s: float, chunks_per_s: float, processes: int) -> float:
        """CPUs kept busy by all these processes together."""
        occasions_per_s = (chunks_per_s + requests_per_s * self.wakes_for_requests) / processes
        wakes_per_s = occasions_per_s / (1 + occasions_per_s * self.gather_s)
        each = self.idle_cpus + wakes_per_s * self.wake_us / 1e6
        return processes * each + self.load_cpus(requests_per_s, chunks_per_s)

    def cpu_s(self, requests: float, chunks: float, seconds: float, processes: int) -> float:
        """CPU seconds of all these processes together, for a load that lasted so long."""
        if seconds <= 0:
            return processes * self.fixed_s
        return processes * self.fixed_s + seconds * self.cpus(requests / seconds, chunks / seconds, processes)
