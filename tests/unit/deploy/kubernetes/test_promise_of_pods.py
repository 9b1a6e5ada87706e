"""Pods promise by the costs that they are sized by."""

from typing import Any

import pytest

from aiperf.deploy.costs import BUSY_FRACTION
from aiperf.deploy.kubernetes.sizing import HEADROOM
from aiperf.deploy.needs import needs, worker_load_cpus
from aiperf.deploy.promising import promise_of


def test_the_layout_carries_the_promise_of_its_sizes(draft: Any) -> None:
    blueprint = draft("--concurrency", "30000", "--streaming", "--osl", "101", "--ttft", "500ms", "--itl", "30ms")
    sizing = blueprint.sizing
    promise = promise_of(sizing.load, blueprint.plan.expectation, sizing.workers, sizing.processors)
    assert blueprint.layout.promise == promise
    assert promise.workers == sizing.workers == 16  # 865,714 chunks/s, each worker at most half a core busy
    assert promise.requests_per_s == pytest.approx(30_000 / 3.5)


def test_workers_ask_for_what_requests_and_chunks_cost_and_a_reserve(draft: Any) -> None:
    sizing = draft("--concurrency", "30000", "--streaming", "--osl", "101", "--ttft", "500ms", "--itl", "30ms").sizing
    each = worker_load_cpus(sizing.load) / sizing.workers
    (asked,) = (size.cpu_millicores for kind, size in sizing.resources.items() if kind.value == "worker")
    assert each <= BUSY_FRACTION
    assert HEADROOM * each * 1000 <= asked <= HEADROOM * each * 1000 + 25
    needed = needs(sizing.load, sizing.workers, sizing.processors)
    assert needed.worker_cpus is not None
    assert asked / 1000 >= needed.worker_cpus / sizing.workers  # idle time and wake-ups are within the reserve
