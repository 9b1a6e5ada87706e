"""The benchmark fails when a process passes its bound, and when it does not come to rest."""

import pytest
from twenty_million import BOUNDS_MB, judge


def seen(sizes_mb: list[float], role: str = "worker-0") -> dict[str, list[tuple[float, float, float]]]:
    return {f"{role}[7]": [(float(second), size, size) for second, size in enumerate(sizes_mb)]}


@pytest.mark.parametrize(
    ("sizes_mb", "is_well"),
    [
        ([60.0] * 40, True),
        ([2.0 * second for second in range(40)], False),
        ([*range(20), *[20.0] * 20], True),
        ([60.0] * 39 + [BOUNDS_MB["worker"] + 1], False),
        ([60.0] * 30 + [62.0] * 10, True),
        ([60.0], True),
    ],
    ids=["steady", "grows", "comes to rest", "one peak", "noise", "a short one"],
)
def test_growth_and_peaks_are_seen(sizes_mb, is_well):
    assert judge(seen(sizes_mb), load_s=1_000) == is_well


def test_what_happens_after_the_load_is_no_growth_but_has_the_same_bound():
    assert judge(seen([60.0] * 20 + [140.0] * 5), load_s=19)
    assert not judge(seen([60.0] * 20 + [151.0] * 5), load_s=19)
