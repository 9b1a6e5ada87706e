"""Every place between services where something can gather: its bound, and what happens when that is reached.

Owns: that table, from the constants themselves. Does not own: the queues, the constants. `docs/protocol.md` prints it.
"""

from typing import NamedTuple

from aiperf.api.run_board import NOTICES_KEPT
from aiperf.endpoint.sse import EVENT_LIMIT_BYTES
from aiperf.metrics.distribution import EXACT_LIMIT
from aiperf.metrics.failures import TEXT_LIMIT
from aiperf.metrics.partial import SWEEP_LIMIT
from aiperf.record.answer import TEXT_LIMIT_BYTES
from aiperf.record.slices import SIZE_LIMIT_BYTES
from aiperf.record.stream import BODY_LIMIT_BYTES
from aiperf.report.shards import BLOCK_BYTES
from aiperf.schedule.scheduler import BACKLOG_MIN, HORIZON_MIN_NS, INTERVAL_MAX_NS
from aiperf.service.cadence import COLUMN_QUEUE_MAX, COLUMN_QUEUE_MESSAGES, COLUMN_QUEUE_MIN, SILENCE_LIMIT_MIN_S
from aiperf.service.log_relay import BUFFER_BYTES
from aiperf.service.spill_file import DISK_KEPT_FREE_BYTES, DISK_KEPT_FREE_FRACTION, SEGMENT_BYTES
from aiperf.units import NS_PER_S
from aiperf.wire.ports import FUNNEL_BOUND_MESSAGES


class Bound(NamedTuple):
    """One queue, buffer or table."""

    where: str
    what: str
    bound: str
    when_reached: str


def _size(count: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count // factor} {unit}"
    return f"{count} bytes"


_AHEAD_S = (HORIZON_MIN_NS + INTERVAL_MAX_NS) // NS_PER_S

BOUNDS = (
    Bound(
        "timing manager → worker",
        "credits in the worker's hand",
        f"at a rate {_AHEAD_S} s of arrivals; behind a cap {BACKLOG_MIN:,} overdue ones, twice the cap or four seconds "
        f"of the rate; in closed loop one spare a slot, or what two intervals of returns use up",
        "no more are handed out; arrivals stay with the schedule and count as unsent if the phase ends",
    ),
    Bound(
        "`control` and `credits`, both directions",
        "messages of dialogues; ZeroMQ sets no mark here, since none may be dropped",
        "by their protocol: a batch, a return, a status, a heartbeat each an interval, one log message under way",
        f"a peer that is silent for {SILENCE_LIMIT_MIN_S:.0f} s or more is lost, and what waits for it is forgotten",
    ),
    Bound(
        "worker, slice being cut",
        "response bytes, stamps, ends of requests",
        f"{_size(SIZE_LIMIT_BYTES)}, or an interval of flushing",
        "the slice is cut and leaves",
    ),
    Bound(
        "`records`, each side of each worker",
        "slices under way to the record processor",
        f"{FUNNEL_BOUND_MESSAGES} slices (high-water mark), of {_size(SIZE_LIMIT_BYTES)} at most",
        "refused without waiting: the slice and all after it go to the spill file",
    ),
    Bound(
        "worker, spill file",
        "slices in order, on the disk of the artifact directory (in a pod its data volume)",
        f"the disk, of which {_size(DISK_KEPT_FREE_BYTES)} (of a small one {DISK_KEPT_FREE_FRACTION:.0%}) stay free; "
        f"room is given back in files of {_size(SEGMENT_BYTES)}",
        "slices are dropped, and the user is told at once; their numbers show the gap, so the records of responses in "
        "them count as lost; the load goes on",
    ),
    Bound(
        "record processor, open responses",
        "one parser for each response under way",
        f"an event {_size(EVENT_LIMIT_BYTES)}, a body {_size(BODY_LIMIT_BYTES)}, a text to be counted "
        f"{_size(TEXT_LIMIT_BYTES)}",
        "the request fails as `body_too_large` or `malformed_body`; a longer text is not counted on this side",
    ),
    Bound(
        "record processor, finished records",
        "records since the last batch, lines since the last block",
        f"one interval of batches; {_size(BLOCK_BYTES)} of lines of each kind",
        "a batch or a block leaves; while the channel refuses it no slices are taken",
    ),
    Bound(
        "`columns`, each side of each record processor",
        "partial results, blocks of lines",
        f"{COLUMN_QUEUE_MESSAGES:,} messages over all record processors; of each {COLUMN_QUEUE_MIN} to "
        f"{COLUMN_QUEUE_MAX}",
        "refused: the record processor takes no slices until there is room; they wait at the worker, at last on disk",
    ),
    Bound(
        "records manager, merged result",
        "values of every metric; above the limit sketches",
        f"{EXACT_LIMIT:,} records exactly, then sketches of fixed size; instants of {SWEEP_LIMIT:,} requests; of each "
        f"kind of failure one text of {TEXT_LIMIT} characters",
        "percentiles carry the sketch's error; in-flight metrics above the limit are averages only",
    ),
    Bound(
        "records manager, lines of requests",
        "compressed blocks, on disk; in memory 8 bytes a line",
        "the disk",
        "lines are given up and the load ends; the summary is written all the same",
    ),
    Bound(
        "host without the shared disk, log",
        "lines not yet confirmed",
        _size(BUFFER_BYTES),
        "lines are left out, and the log says how many",
    ),
    Bound(
        "HTTP API, followers of the run",
        f"the newest progress, the last {NOTICES_KEPT} notices, the end; the same for any number of followers",
        "a few hundred KB",
        "a slow follower gets no progress in between",
    ),
)
