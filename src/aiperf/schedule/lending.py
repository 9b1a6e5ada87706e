"""The rule by which a global number of slots moves between workers while a phase runs.

Owns: who gets free slots, who gives idle ones up. Does not own: the protocol's messages and bookkeeping (`hands`).

The sum over workers of the slots they may be using (`slots_held`) never exceeds the total. So a lent slot is first
taken back (its holder keeps being counted with it until a return shows that it let go), then free, and only then given.
"""

from collections.abc import Sequence

from aiperf.schedule.hands import Hand
from aiperf.schedule.shares import even_shares


def give_free_slots(total: int, hands: Sequence[Hand]) -> dict[int, int]:
    """New slots of the hands that get some of what is free, by position: the waiting first, then all evenly.

    While orders are under way, what nobody waits for is kept: those who were asked to raise may still want more.
    """
    free = total - sum(hand.slots_held for hand in hands)
    if free <= 0:
        return {}
    room = [_room(hand) for hand in hands]
    given = even_shares(free, [_wanted(hand) for hand in hands])
    left = free - sum(given)
    if left and all(hand.movable for hand in hands):
        more = even_shares(left, [space - got for space, got in zip(room, given, strict=True)])
        given = [got + extra for got, extra in zip(given, more, strict=True)]
    return {position: hands[position].slots + got for position, got in enumerate(given) if got}


def level_free_slots(total: int, hands: Sequence[Hand]) -> dict[int, int]:
    """New slots of the hands that get some of what is free, by position, where every slot is always in use.

    Who has fewest comes first, so that all come to have as many. What is meant for one whose last order is not
    confirmed waits for that: a round trip.
    """
    free = total - sum(hand.slots_held for hand in hands)
    if free <= 0:
        return {}
    slots = [hand.slots for hand in hands]
    limits = [hand.slots if hand.stopped else hand.slots_max for hand in hands]
    levelled = _filled(free, slots, limits)
    return {
        position: after
        for position, (before, after) in enumerate(zip(slots, levelled, strict=True))
        if after > before and hands[position].movable
    }


def _filled(free: int, slots: list[int], limits: list[int]) -> list[int]:
    """The lowest raised to a common level, as far as `free` and the limits allow."""

    def at(level: int) -> list[int]:
        return [max(has, min(level, limit)) for has, limit in zip(slots, limits, strict=True)]

    low, high = 0, max(slots, default=0) + free
    while low < high:
        level = (low + high + 1) // 2
        if sum(at(level)) - sum(slots) <= free:
            low = level
        else:
            high = level - 1
    filled = at(low)
    left = free - (sum(filled) - sum(slots))
    for position, (has, limit) in enumerate(zip(filled, limits, strict=True)):
        if left and has == low < limit:
            filled[position] += 1
            left -= 1
    return filled


def take_idle_slots(total: int, hands: Sequence[Hand]) -> dict[int, int]:
    """New slots of the hands that are to give idle slots up for others that wait, by position.

    A hand without arrivals waiting gives up to half of its idle slots, and always keeps one.
    """
    coming = total - sum(hand.slots for hand in hands)  # free, or already on the way back
    wanted = sum(_wanted(hand) for hand in hands) - coming
    spare = [min((hand.idle_slots + 1) // 2, hand.slots - 1) if _can_lend(hand) else 0 for hand in hands]
    if wanted <= 0 or not any(spare):
        return {}
    taken = even_shares(wanted, spare)
    return {position: hands[position].slots - share for position, share in enumerate(taken) if share}


def _wanted(hand: Hand) -> int:
    """Slots that arrivals past their due instant wait for, as far as the worker can take them."""
    return min(_room(hand), max(0, hand.overdue - max(0, hand.idle_slots)))


def _room(hand: Hand) -> int:
    return hand.slots_max - hand.slots if hand.movable else 0


def _can_lend(hand: Hand) -> bool:
    return hand.movable and hand.overdue == 0 and hand.idle_slots > 0
