"""How slots are shared out over workers.

Owns: the split of a number of slots over workers with limits, and the choice of workers for a cap. Does not own: when
shares change (`lending`, `scheduler`).
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerShare:
    """A worker at the start of a phase, and the most it can have in flight."""

    worker: str
    slots_max: int


def even_shares(slots: int, slots_max: Sequence[int]) -> list[int]:
    """As even a split of `slots` as the limits allow, the remainder to the first. Less in sum only if all are full."""
    shares = [0] * len(slots_max)
    left = min(slots, sum(slots_max))
    open_ends = [position for position, limit in enumerate(slots_max) if limit > 0]
    while left > 0:
        each = left // len(open_ends)
        for position in open_ends if each else open_ends[:left]:
            given = min(each or 1, slots_max[position] - shares[position])
            shares[position] += given
            left -= given
        open_ends = [position for position in open_ends if shares[position] < slots_max[position]]
    return shares


def fewest_workers(cap: int, slots_max: Sequence[int]) -> list[int]:
    """Positions of the fewest workers whose limits add up to `cap`, in the order given; all if they cannot carry it."""
    chosen: list[int] = []
    carried = 0
    for position in sorted(range(len(slots_max)), key=lambda position: -slots_max[position]):
        if carried >= cap:
            break
        chosen.append(position)
        carried += slots_max[position]
    return sorted(chosen)
