"""The record processor's way out: records become a partial result and, where they are exported, blocks of lines.

Owns: which lines are made of which records. Does not own: the lines' form (`aiperf.report`), the partial result, the
sending.
"""

from collections.abc import Iterator

import numpy as np

from aiperf.dataset.store import Store
from aiperf.metrics.catalog import PER_REQUEST
from aiperf.metrics.goodput import Objective
from aiperf.metrics.partial import Partial
from aiperf.plan.plan import Plan
from aiperf.record.assembly import Assembled
from aiperf.report.request_lines import LineContext, raw_lines, request_lines
from aiperf.report.shards import Block, BlockPacker
from aiperf.schedule.phases import PhaseKind, kind_of
from aiperf.service.column_messages import LineKind
from aiperf.service.layout import Layout
from aiperf.wire.messages import Configure

_EXPORTED = [(row, metric.tag) for row, metric in enumerate(PER_REQUEST) if metric.exported]
_UNITS = {metric.tag: metric.unit for metric in PER_REQUEST}

_KINDS = {"summary": (), "records": (LineKind.LINES,), "raw": (LineKind.LINES, LineKind.RAW)}
"""By export level."""

Blocks = list[tuple[LineKind, Block]]


class ShardOutlet:
    """Takes finished records, gives partial results and the blocks of lines that became full on the way."""

    def __init__(
        self,
        name: str,
        layout: Layout,
        plan: Plan,
        configure: Configure,
        store: Store,
        objectives: tuple[Objective, ...],
    ) -> None:
        self._objectives = objectives
        self._store = store
        self._headers = dict(plan.endpoint.headers)
        self._context = LineContext(
            benchmark_id=layout.run_id,
            record_processor_id=name,
            workers=configure.workers,
            urls=plan.endpoint.urls,
            conversation_id=store.session_id,
        )
        self._packers = {kind: BlockPacker() for kind in _KINDS[plan.results.export_level]}
        self.line_count = 0
        """Records so far that have a line of each kind."""

    def write(self, phase: int, assembled: Assembled) -> tuple[Partial, Blocks]:
        """The partial result of records of one phase, and what became full. Lines are made of measured records only."""
        facts, texts = assembled.facts, assembled.error_texts
        by_row = {row: text for row, text in enumerate(texts) if text}
        partial = Partial.of(facts, assembled.gaps_ns, np.diff(assembled.gap_offsets), by_row, self._objectives, phase)
        if kind_of(phase) is not PhaseKind.PROFILING:
            return partial, []
        self.line_count += len(facts)
        blocks: Blocks = []
        for kind, packer in self._packers.items():
            lines = self._raw_lines(assembled) if kind is LineKind.RAW else self._request_lines(partial, assembled)
            blocks += ((kind, block) for block in packer.pack(lines))
        return partial, blocks

    def flush(self) -> Blocks:
        """What is held of each kind, full or not."""
        return [(kind, block) for kind, packer in self._packers.items() for block in packer.flush()]

    def _request_lines(self, partial: Partial, assembled: Assembled) -> list[bytes]:
        values = partial.samples.waiting.table
        metrics = {tag: values[row] for row, tag in _EXPORTED}
        return request_lines(assembled.facts, metrics, _UNITS, assembled.error_texts, self._context)

    def _raw_lines(self, assembled: Assembled) -> list[bytes]:
        assert assembled.raw is not None
        facts = assembled.facts
        bodies = [self._store.body(entry) for entry in facts["entry_index"].tolist()]
        return raw_lines(facts, assembled.raw, bodies, self._headers, assembled.error_texts, self._context)


def by_phase(assembled: Assembled) -> Iterator[tuple[int, Assembled]]:
    """The records split by phase. Nearly always they are all of one."""
    phases = np.unique(assembled.facts["phase"]).tolist()
    if len(phases) == 1:
        yield phases[0], assembled
        return
    gap_counts = np.diff(assembled.gap_offsets)
    for phase in phases:
        chosen = assembled.facts["phase"] == phase
        rows = np.flatnonzero(chosen).tolist()
        yield (
            phase,
            Assembled(
                facts=assembled.facts[chosen],
                gaps_ns=assembled.gaps_ns[np.repeat(chosen, gap_counts)],
                gap_offsets=np.concatenate([[0], np.cumsum(gap_counts[chosen])]),
                error_texts=[assembled.error_texts[row] for row in rows],
                raw=[assembled.raw[row] for row in rows] if assembled.raw is not None else None,
                sent_after_ns=[assembled.sent_after_ns[row] for row in rows],
            ),
        )
