import gc

import pytest

from aiperf.service import garbage


@pytest.fixture(autouse=True)
def _the_collector_as_it_was():
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_there_is_is_not_looked_through_again() -> None:
    kept = [[] for _ in range(1000)]
    garbage.set_aside(garbage.TIMING_THRESHOLDS)
    assert gc.get_freeze_count() >= len(kept)
    assert len(gc.get_objects()) < gc.get_freeze_count()
    assert gc.isenabled()


@pytest.mark.parametrize("thresholds", [garbage.TIMING_THRESHOLDS, garbage.THROUGHPUT_THRESHOLDS])
def test_cycles_that_come_later_are_collected_all_the_same(thresholds: tuple[int, int, int]) -> None:
    garbage.set_aside(thresholds)
    collected: list[int] = []

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            collected.append(1)

    for _ in range(2 * thresholds[0]):
        Cycle()
    assert collected
