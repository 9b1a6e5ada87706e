"""Records made by hand: a request of round numbers, changed column by column."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from aiperf.metrics.partial import Partial
from aiperf.metrics.run_facts import PhaseFacts, RunFacts
from aiperf.record.facts import FACTS_DTYPE, FactsArray, TokenSource
from aiperf.schedule.ledger import Ledger
from aiperf.schedule.phases import PhaseKind

MS = 1_000_000
START = 1_700_000_000_000_000_000

ORDINARY = {
    "phase": PhaseKind.PROFILING, "http_status": 200,
    "due_ns": START, "dispatched_ns": START + 1 * MS, "blocked_ns": 2 * MS, "dns_ns": 3 * MS, "connect_ns": 4 * MS,
    "tls_ns": 5 * MS, "sent_ns": START + 10 * MS, "send_done_ns": START + 11 * MS, "first_byte_ns": START + 100 * MS,
    "end_ns": START + 620 * MS, "rearm_delay_ns": -1, "sent_bytes": 2_000, "received_bytes": 50_000,
    "first_content_ns": START + 110 * MS, "first_output_ns": START + 210 * MS, "second_content_ns": START + 130 * MS,
    "last_content_ns": START + 610 * MS, "content_chunk_count": 26, "isl_tokens": 200, "client_isl_tokens": 190,
    "requested_osl_tokens": 60, "output_tokens": 41, "reasoning_tokens": 10, "first_chunk_tokens": 1,
    "client_output_tokens": 50, "usage_prompt_tokens": 200, "usage_completion_tokens": 51, "usage_total_tokens": 251,
    "usage_cached_tokens": 64, "usage_reasoning_tokens": 10, "token_source": TokenSource.SERVER,
}  # fmt: skip
"""TTFT 100 ms, latency 600 ms, ISL 200, OSL 51, ITL 500 / 50 = 10 ms."""

MakeFacts = Callable[..., FactsArray]
MakePartial = Callable[..., Partial]


def records(count: int = 1, **columns: Any) -> FactsArray:
    rows = np.zeros(count, FACTS_DTYPE)
    for name, value in {**ORDINARY, **columns}.items():
        rows[name] = value
    return rows


@pytest.fixture(scope="session")
def make_facts() -> MakeFacts:
    return records


@pytest.fixture(scope="session")
def make_partial() -> MakePartial:
    def make(facts: FactsArray, **options: Any) -> Partial:
        return Partial.of(facts, np.zeros(0, np.int64), np.zeros(len(facts), np.int64), **options)

    return make


@pytest.fixture(scope="session")
def make_run() -> Callable[..., RunFacts]:
    def make(ledger: Ledger | None = None, stop_ns: int = -1, **changes: Any) -> RunFacts:
        phase = PhaseFacts(
            phase=PhaseKind.PROFILING, start_ns=START, stop_ns=stop_ns, end_ns=START + 10**9, ledger=ledger or Ledger()
        )
        settings: dict[str, Any] = {"benchmark_id": "b-1", "aiperf_version": "0.1.0", "plan": {}, "phases": [phase]}
        return RunFacts(**(settings | changes))

    return make
