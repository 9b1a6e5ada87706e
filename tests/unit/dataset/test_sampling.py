import subprocess
import sys
from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.dataset.sampling import Sampler, Strategy, mix

SIZES = st.one_of(st.integers(1, 40), st.integers(1, 1500))
SEEDS = st.integers(0, 2**64)


def entries(strategy: Strategy, size: int, seed: int, count: int) -> list[int]:
    sampler = Sampler(strategy, size, seed)
    return [sampler.entry_index(credit) for credit in range(count)]


def test_mix_is_splitmix64() -> None:
    """The first outputs for the seed 1234567, as published with the reference implementation."""
    assert [mix(1234567, index) for index in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_sequential_starts_over_at_the_end() -> None:
    assert entries("sequential", 3, 7, 8) == [0, 1, 2, 0, 1, 2, 0, 1]


@given(size=SIZES, seed=SEEDS, epoch=st.integers(0, 10**9))
def test_every_epoch_of_shuffle_uses_every_entry_once(size: int, seed: int, epoch: int) -> None:
    sampler = Sampler("shuffle", size, seed)
    used = [sampler.entry_index(epoch * size + position) for position in range(size)]
    assert sorted(used) == list(range(size))


@given(size=SIZES, seed=SEEDS, asked=st.lists(st.integers(0, 10**12), max_size=30), data=st.data())
def test_an_entry_does_not_depend_on_what_was_asked_before(
    size: int, seed: int, asked: list[int], data: st.DataObject
) -> None:
    for strategy in ("sequential", "random", "shuffle"):
        one, other = Sampler(strategy, size, seed), Sampler(strategy, size, seed)
        answers = {credit: one.entry_index(credit) for credit in asked}
        for credit in data.draw(st.permutations(asked)):
            assert other.entry_index(credit) == answers[credit]
            assert 0 <= answers[credit] < size


def test_epochs_of_shuffle_differ_and_so_do_seeds() -> None:
    drawn = entries("shuffle", 50, 1, 50 * 20)
    orders = {tuple(drawn[start : start + 50]) for start in range(0, len(drawn), 50)}
    assert len(orders) == 20
    assert tuple(entries("shuffle", 50, 2, 50)) not in orders


def test_every_order_of_a_small_dataset_comes_up() -> None:
    drawn = entries("shuffle", 4, 1, 4 * 2400)
    orders = Counter(tuple(drawn[start : start + 4]) for start in range(0, len(drawn), 4))
    assert set(orders) == set(permutations(range(4)))
    assert max(orders.values()) < 3 * 100


@pytest.mark.parametrize("strategy", ["random", "shuffle"])
def test_places_and_entries_are_independent(strategy: Strategy) -> None:
    size, epochs = 10, 2000
    drawn = entries(strategy, size, 3, size * epochs)
    cells = Counter((position % size, entry) for position, entry in enumerate(drawn))
    expected = epochs / size
    chi_square = sum((cells[place, entry] - expected) ** 2 / expected for place in range(size) for entry in range(size))
    assert chi_square / (size - 1) ** 2 < 2


def test_random_repeats_entries_within_an_epoch() -> None:
    assert 50 < len(set(entries("random", 100, 1, 100))) < 75


def test_a_dataset_without_entries_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one entry"):
        Sampler("random", 0, 1)


def test_another_process_draws_the_same_entries_and_needs_no_heavy_library() -> None:
    program = (
        "import sys; import aiperf.dataset.sampling as s, aiperf.dataset.store, aiperf.dataset.tokens;"
        "print([s.Sampler(k, 97, 5).entry_index(i) for k in ('random', 'shuffle') for i in range(300)]);"
        "print([m for m in ('tokenizers', 'huggingface_hub') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    drawn, heavy = result.stdout.splitlines()
    assert drawn == str([*entries("random", 97, 5, 300), *entries("shuffle", 97, 5, 300)])
    assert heavy == "[]"
