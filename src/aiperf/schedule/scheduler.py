"""The timing manager's decisions for one phase: which worker gets which credits and slots when, and the final account.

Owns: dealing arrivals, refilling slots, lending, what a lost worker means, the end of the phase, the ledger. Does not
own: clocks, sockets, when a phase starts, which workers there are (told by events). Events in, actions out.

Theory of operation
- Credits are 0, 1, 2 … and handed out in order: `_handed` is the first that is not. None is handed out twice, but for
  one that a leaving worker hands back: it was not sent. An arrival then goes to another if it is not due yet.
- Open loop and capped: on ticks, arrivals due within the horizon are dealt to the workers in use, index modulo their
  number. Closed loop: a return that shows used-up credits is answered with as many.
- The supply ends once: by count, at the stop instant, or by `stop`. Every worker in use is then told (`EndCredits`).
  The phase ends when each has said that it is drained, and the ledger shows whether all credits came back.
- Slots (closed and capped) follow `lending`. Workers that are not needed, or come later, are spares.
- A lost worker's outstanding credits are lost. Arrivals that are due while there is no worker at all are never sent.
What workers must do: see docs/credits.md.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from aiperf.schedule.actions import (
    Action,
    CutWorker,
    EndCredits,
    FinishPhase,
    Int64Array,
    IssueCredits,
    PrepareWorker,
    SetSlots,
)
from aiperf.schedule.hands import Hand
from aiperf.schedule.ledger import CreditReturn, Ledger
from aiperf.schedule.lending import give_free_slots, level_free_slots, take_idle_slots
from aiperf.schedule.phases import Mode, PhasePlan
from aiperf.schedule.shares import WorkerShare, even_shares, fewest_workers
from aiperf.schedule.unplaced import UnplacedSlots
from aiperf.schedule.unsent import arrivals_of, runs_of
from aiperf.units import NS_PER_MS, NS_PER_S

NONE = -1
NO_LIMIT = 1 << 62

HORIZON_MIN_NS = NS_PER_S
"""What a worker has in hand at the least, so that a pause of the timing manager is not felt."""
INTERVAL_MIN_NS, INTERVAL_MAX_NS = NS_PER_S // 4, NS_PER_S
INTERVAL_PER_WORKER_NS = 4 * NS_PER_MS
"""Interval between batches: a worker more makes it longer, so that batches per second stay bounded (1,000 at most)."""
MOVE_INTERVAL_PER_WORKER_NS = 50_000
"""Moving slots looks at every worker; with many it is not done on every return."""
BACKLOG_MIN = 1_000
PREFETCH_MIN_S = 0.2
PREFETCH_RETURNS = 2
"""Closed loop: credits for so long, and for so many intervals of returns, are kept in hand, if that is more than one
per slot (very short requests). A worker asks for more when half of them are gone, so the interval decides, not need."""


class Scheduler:
    """One phase. Call `start` once, then the other events as they happen; perform the actions in order.

    `lends`: whether idle slots move between workers (capped mode). `workers_planned`: workers that come late are
    used until there are so many, but under a cap; 0: as many as there were at the start. `return_interval_s`: how
    often workers return credits when nothing presses. `awaits_workers`: a phase without workers goes on until it is
    stopped, since others may come; else it ends.
    """

    def __init__(
        self,
        plan: PhasePlan,
        *,
        lends: bool = True,
        workers_planned: int = 0,
        return_interval_s: float = 0.0,
        awaits_workers: bool = False,
    ) -> None:
        self._plan = plan
        self._lends = lends
        self._awaits_workers = awaits_workers
        self._prefetch_s = max(PREFETCH_MIN_S, PREFETCH_RETURNS * return_interval_s)
        self._arrivals = arrivals_of(plan)
        self._limit = NO_LIMIT if plan.request_count is None else plan.request_count
        self._hands: dict[str, Hand] = {}
        """The workers in use, in the order arrivals are dealt."""
        self._spares: list[WorkerShare] = []
        self._names: set[str] = set()
        self._handed = 0
        self._unused: list[Int64Array] = []
        self._again = np.empty(0, np.int64)
        """Closed loop: credits that a worker handed back before the supply ended, since it leaves. They go first."""
        self._completed = self._failed = self._cancelled = self._censored = self._lost = 0
        self._now_ns = 0
        self._start_ns = self._stop_ns = self._cut_ns = NONE
        self._next_tick_ns = NONE
        self._next_move_ns = 0
        self._workers_wanted = workers_planned
        self._unplaced = UnplacedSlots(plan.concurrency or 0)
        self._backlog_max = max(BACKLOG_MIN, 2 * (plan.concurrency or 0), round(4 * (plan.rate_rps or 0)))
        """While so many arrivals wait for slots, no more are handed out: what nobody can send need not travel."""
        self._supply_ended = False
        self._ended_early_ns = NONE
        self._finished = False

    # Events

    def start(self, workers: Sequence[WorkerShare], start_ns: int, now_ns: int) -> list[Action]:
        """The phase will start at `start_ns` with these workers, all ready. First credits go out at once."""
        plan = self._plan
        self._start_ns = start_ns
        self._stop_ns, self._cut_ns = plan.stop_ns(start_ns), plan.cut_ns(start_ns)
        self._names.update(share.worker for share in workers)
        used = self._first_shares(workers)
        self._spares = [share for share in workers if share.worker not in used]
        self._workers_wanted = max(self._workers_wanted, len(used))
        self._unplaced.hold(start_ns, sum(used.values()))
        actions: list[Action] = [self._prepare(share, used[share.worker]) for share in workers if share.worker in used]
        if self._arrivals is None:
            self._next_tick_ns = self._stop_ns
            hands = list(self._hands.values())
            for hand, count in zip(hands, even_shares(self._limit, [hand.slots for hand in hands]), strict=True):
                actions += self._issue(hand, count)  # the first credits are the first sends, evenly
            for hand in hands:
                actions += self._refill(hand)
            return actions + self._end_supply_if_due(now_ns) + self._finish_if_drained(now_ns)
        return actions + self._deal(now_ns) + self._finish_if_drained(now_ns)

    def tick(self, now_ns: int) -> list[Action]:
        """`next_tick_ns` has come."""
        self._now_ns = now_ns
        if self._next_tick_ns == NONE or now_ns < self._next_tick_ns:
            return []
        actions = self._end_supply_if_due(now_ns) if self._arrivals is None else self._deal(now_ns)
        return actions + self._finish_if_drained(now_ns)

    def next_tick_ns(self) -> int:
        """When `tick` wants to be called; -1: never, unless another event changes it."""
        return self._next_tick_ns

    def returned(self, worker: str, report: CreditReturn, now_ns: int) -> list[Action]:
        """A worker returned credits. From a lost one: ignored, its credits are lost already."""
        hand = self._hands.get(worker)
        if hand is None or self._finished:
            return []
        self._now_ns = now_ns
        held = hand.slots_held
        hand.book(report, now_ns)
        self._unplaced.hold(now_ns, hand.slots_held - held)
        self._completed += report.completed
        self._failed += report.failed
        self._cancelled += report.cancelled
        self._censored += report.censored
        actions: list[Action] = []
        if report.unused:
            actions += self._take_back(np.frombuffer(report.unused, np.int64), now_ns)
        actions += self._move_slots(now_ns)
        if self._arrivals is None:
            actions += self._refill(hand) + self._end_supply_if_due(now_ns)
        return actions + self._finish_if_drained(now_ns)

    def worker_lost(self, worker: str, now_ns: int) -> list[Action]:
        """A worker is gone: its credits are lost, its slots and its further arrivals go to spares and survivors."""
        self._spares = [share for share in self._spares if share.worker != worker]
        hand = self._hands.pop(worker, None)
        if hand is None or self._finished:
            return []
        self._lost += hand.outstanding
        self._unplaced.hold(now_ns, -hand.slots_held)
        return self._use_spares(now_ns) + self._move_slots(now_ns) + self._finish_if_drained(now_ns)

    def worker_joined(self, worker: str, slots_max: int, now_ns: int) -> list[Action]:
        """A worker came after the start. It is a spare, and used at once if a worker or slots are missing.

        A name that was seen before is ignored: a replacement is someone new and has a name of its own.
        """
        if worker in self._names or self._finished:
            return []
        self._names.add(worker)
        self._spares.append(WorkerShare(worker, slots_max))
        return self._use_spares(now_ns) + self._move_slots(now_ns)

    def stop(self, cut_ns: int, now_ns: int) -> list[Action]:
        """Ends the phase early: nothing is dispatched from now on, and what is in flight is cut at `cut_ns`."""
        if self._finished:
            return []
        if self._ended_early_ns == NONE:
            self._ended_early_ns = now_ns
        self._cut_ns = cut_ns
        cuts: list[Action] = [CutWorker(worker, cut_ns) for worker in self._hands]
        return cuts + self._end_supply(now_ns) + self._finish_if_drained(now_ns)

    # What can be seen from outside

    @property
    def unassigned_slots(self) -> int:
        """Slots of the concurrency that no worker has, for want of room."""
        return 0 if self._plan.concurrency is None else self._plan.concurrency - sum(self.slots.values())

    @property
    def slots(self) -> dict[str, int]:
        """Slots by worker in use, as last ordered; -1: no limit."""
        return {worker: hand.slots for worker, hand in self._hands.items()}

    @property
    def in_flight_count(self) -> int:
        """Requests in flight as last returned."""
        return sum(hand.in_flight for hand in self._hands.values())

    @property
    def overdue_count(self) -> int:
        """Arrivals past their due instant that wait for a slot, as last returned."""
        return sum(hand.overdue for hand in self._hands.values())

    @property
    def ledger(self) -> Ledger:
        """The account as of the last event; that of a finished phase reconciles. `offered`: what was due so far."""
        unused = np.concatenate(self._unused) if self._unused else np.empty(0, np.int64)
        issued = self._handed - unused.size - self._again.size
        asked = self._asked_count()
        unsent = max(0, asked - self._handed) + int(np.count_nonzero(unused < asked))
        return Ledger(
            issued=issued,
            completed=self._completed,
            failed=self._failed,
            cancelled=self._cancelled,
            censored=self._censored,
            lost=self._lost,
            unsent=unsent,
            offered=issued + unsent if self._finished or self._arrivals is None else asked,
        )

    def _asked_count(self) -> int:
        """Arrivals due before the phase ended, or until now; in closed loop none: there the slots ask."""
        if self._arrivals is None or self._start_ns == NONE:
            return 0
        ends_ns = self._ends_ns()
        if not self._finished:
            ends_ns.append(self._now_ns)
        if not ends_ns:
            return self._limit
        return min(self._limit, self._arrivals.count_before(min(ends_ns) - self._start_ns))

    def _ends_ns(self) -> list[int]:
        """Instants from which on nothing is dispatched, as far as they are known: by the plan, by an order."""
        return [instant for instant in (self._stop_ns, self._ended_early_ns) if instant != NONE]

    # Credits

    def _deal(self, now_ns: int) -> list[Action]:
        """Hands out the arrivals within the horizon, index modulo workers in use; ends the supply after the last."""
        if self._arrivals is None or self._supply_ended:
            return []
        if self._stop_ns != NONE and now_ns >= self._stop_ns:
            return self._end_supply(now_ns)
        if not self._hands_in_use():
            self._next_tick_ns = self._stop_ns  # unless a worker comes
            return []
        interval_ns = min(max(INTERVAL_PER_WORKER_NS * len(self._hands), INTERVAL_MIN_NS), INTERVAL_MAX_NS)
        base_ns = max(now_ns, self._start_ns)
        until_ns = base_ns + interval_ns + HORIZON_MIN_NS
        at_stop = self._stop_ns != NONE and self._stop_ns <= until_ns
        if at_stop:
            until_ns = self._stop_ns
        asked = min(self._limit, self._arrivals.count_before(until_ns - self._start_ns))
        first, backlog = self._handed, max(0, self._backlog_max - self.overdue_count)
        end = max(first, min(asked, first + backlog))
        actions = self._hand_out(np.arange(first, end), self._arrivals.offsets(first, end - first))
        self._handed = end
        if self._handed == self._limit or (at_stop and self._handed == asked):
            return actions + self._end_supply(now_ns)
        self._next_tick_ns = base_ns + interval_ns
        return actions

    def _hands_in_use(self) -> list[Hand]:
        """Those that take arrivals: one that has stopped would only hand them back."""
        return [hand for hand in self._hands.values() if not hand.stopped]

    def _hand_out(self, indices: Int64Array, offsets_ns: Int64Array) -> list[Action]:
        """Arrivals to the workers in use, by index."""
        actions: list[Action] = []
        hands = self._hands_in_use()
        lanes = indices % len(hands)
        for position, hand in enumerate(hands):
            lane = lanes == position
            dealt = indices[lane]
            if dealt.size:
                hand.given += dealt.size
                actions.append(IssueCredits(hand.worker, dealt, offsets_ns[lane] + self._start_ns))
        return actions

    def _skip_what_is_past(self, now_ns: int) -> None:
        """There was no worker: arrivals that came due meanwhile stay unsent, and are no burst for the one who comes."""
        if self._arrivals is None or self._supply_ended:
            return
        past = min(self._limit, self._arrivals.count_before(now_ns - self._start_ns))
        if past > self._handed:
            self._unused.append(np.arange(self._handed, past))
            self._handed = past

    def _refill(self, hand: Hand) -> list[Action]:
        """Closed loop: as many credits as the worker's slots and its spares can take.

        Towards the end of a counted run, a worker is given no more in advance than its share of half of what is left;
        the very last credits go only to slots that stand idle.
        """
        ahead = max(hand.slots, int(hand.used_per_s * self._prefetch_s))
        if len(self._hands) > 1:
            left = self._limit - self._handed + self._again.size
            ahead = min(ahead, left * hand.slots // (2 * (self._plan.concurrency or 1)))
        return self._issue(hand, hand.slots + ahead - hand.outstanding)

    def _issue(self, hand: Hand, wanted: int) -> list[Action]:
        count = min(wanted, self._limit - self._handed + self._again.size)
        if count <= 0 or self._supply_ended or hand.stopped:
            return []
        again, self._again = self._again[:count], self._again[count:]
        first, self._handed = self._handed, self._handed + count - again.size
        hand.given += count
        indices = np.arange(first, self._handed)
        return [IssueCredits(hand.worker, np.concatenate([again, indices]) if again.size else indices, None)]

    def _take_back(self, unused: Int64Array, now_ns: int) -> list[Action]:
        """Credits that were not sent. While there is a supply others get them; of arrivals, those not due yet."""
        if self._supply_ended or 0 <= self._stop_ns <= now_ns:
            self._unused.append(unused)
        elif self._arrivals is None:
            self._again = np.concatenate([self._again, unused])
        else:
            first = int(unused.min())
            offsets_ns = self._arrivals.offsets(first, int(unused.max()) + 1 - first)[unused - first]
            ahead = offsets_ns + self._start_ns > now_ns
            if not self._hands_in_use():
                ahead[:] = False
            self._unused.append(unused[~ahead])
            return self._hand_out(unused[ahead], offsets_ns[ahead]) if ahead.any() else []
        return []

    def _end_supply_if_due(self, now_ns: int) -> list[Action]:
        at_stop = self._stop_ns != NONE and now_ns >= self._stop_ns
        is_used_up = self._handed == self._limit and not self._again.size
        return self._end_supply(now_ns) if at_stop or is_used_up else []

    def _end_supply(self, now_ns: int) -> list[Action]:
        if self._supply_ended:
            return []
        self._unplaced.end(now_ns)
        self._supply_ended = True
        self._unused.append(self._again)
        self._again = self._again[:0]
        self._next_tick_ns = NONE
        return [EndCredits(worker) for worker in self._hands]

    def _finish_if_drained(self, now_ns: int) -> list[Action]:
        """The end, if every worker in use is drained; or none is left, and none is waited for."""
        drained = self._supply_ended and all(hand.drained for hand in self._hands.values())
        deserted = not self._hands and not self._awaits_workers
        if self._finished or not (drained or deserted):
            return []
        if not self._hands and self._ended_early_ns == NONE:
            self._ended_early_ns = now_ns
        self._finished, self._supply_ended, self._next_tick_ns = True, True, NONE
        self._unplaced.end(now_ns)
        unsent = runs_of(self._unused, self._handed, self._asked_count())
        return [FinishPhase(self.ledger, self._unplaced.slot_ns, unsent.tobytes(), min([*self._ends_ns(), now_ns]))]

    # Slots

    def _first_shares(self, workers: Sequence[WorkerShare]) -> dict[str, int]:
        """Slots of the workers to use: all of them, or the fewest that carry a cap."""
        concurrency = self._plan.concurrency
        if concurrency is None:
            return {share.worker: NONE for share in workers}
        limits = [share.slots_max for share in workers]
        if self._plan.mode is Mode.CAPPED:
            workers = [workers[position] for position in fewest_workers(concurrency, limits)]
            limits = [share.slots_max for share in workers]
        slots = even_shares(concurrency, limits)
        return {share.worker: count for share, count in zip(workers, slots, strict=True) if count}

    def _prepare(self, share: WorkerShare, slots: int) -> PrepareWorker:
        self._hands[share.worker] = Hand(share.worker, share.slots_max, slots, slots)
        return PrepareWorker(share.worker, slots, self._start_ns, self._stop_ns, self._cut_ns)

    def _use_spares(self, now_ns: int) -> list[Action]:
        """Puts spares to use while there is something for them: a lost worker's place, or slots nobody holds."""
        actions: list[Action] = []
        is_deserted = not self._hands_in_use()
        if is_deserted:
            self._skip_what_is_past(now_ns)
        while (
            self._spares and not self._supply_ended and ((slots := self._slots_for_spare()) or self._is_one_missing())
        ):
            share = self._spares.pop(0)
            slots = min(slots, share.slots_max)
            actions.append(self._prepare(share, slots))
            self._unplaced.hold(now_ns, slots)
            if self._arrivals is None:
                actions += self._make_room(now_ns) + self._refill(self._hands[share.worker])
        return actions + (self._deal(now_ns) if is_deserted else [])

    def _is_one_missing(self) -> bool:
        """Closed loop: fewer workers than planned share the slots, and there is one for each."""
        concurrency, count = self._plan.concurrency, len(self._hands)
        return self._arrivals is None and concurrency is not None and count < min(self._workers_wanted, concurrency)

    def _slots_for_spare(self) -> int:
        """What a spare would get; 0: it is not needed. A cap stays with the fewest workers that can carry it."""
        if self._plan.concurrency is None:
            return NONE if len(self._hands) < self._workers_wanted else 0
        hands = self._hands.values()
        if self._plan.mode is Mode.CAPPED and sum(hand.slots_max for hand in hands) >= self._plan.concurrency:
            return 0
        return self._plan.concurrency - sum(hand.slots_held for hand in hands)

    def _move_slots(self, now_ns: int) -> list[Action]:
        """Gives free slots away and, under a cap, asks for idle ones back. See `lending`."""
        concurrency = self._plan.concurrency
        pointless = self._supply_ended and (self._arrivals is None or self._ended_early_ns != NONE)
        if concurrency is None or pointless or now_ns < self._next_move_ns:
            return []
        hands = [hand for hand in self._hands.values() if not hand.drained]
        self._next_move_ns = now_ns + len(hands) * MOVE_INTERVAL_PER_WORKER_NS
        moves = (level_free_slots if self._arrivals is None else give_free_slots)(concurrency, hands)
        if self._plan.mode is Mode.CAPPED and self._lends:
            moves = moves or take_idle_slots(concurrency, hands)
        return self._order(hands, moves, now_ns)

    def _make_room(self, now_ns: int) -> list[Action]:
        """Closed loop: a worker has come that was missing. The others let go what is more than an even share."""
        hands = list(self._hands.values())
        even = even_shares(self._plan.concurrency or 0, [hand.slots_max for hand in hands])
        moves = {
            position: share
            for position, (hand, share) in enumerate(zip(hands, even, strict=True))
            if hand.movable and hand.slots > share
        }
        return self._order(hands, moves, now_ns)

    def _order(self, hands: Sequence[Hand], moves: Mapping[int, int], now_ns: int) -> list[Action]:
        actions: list[Action] = []
        for position, slots in moves.items():
            hand = hands[position]
            held = hand.slots_held
            hand.order_slots(slots)
            self._unplaced.hold(now_ns, hand.slots_held - held)
            actions.append(SetSlots(hand.worker, slots))
            if self._arrivals is None:
                actions += self._refill(hand)
        return actions
