"""The record processor's way out: records become a partial result and, where they are exported, lines of a shard.

Owns: which lines are written where. Does not own: the lines' form (`aiperf.report`), the partial result.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aiperf.dataset.store import Store
from aiperf.errors import InfrastructureError
from aiperf.metrics.catalog import PER_REQUEST
from aiperf.metrics.goodput import Objective
from aiperf.metrics.partial import Partial
from aiperf.plan.plan import Plan
from aiperf.record.assembly import Assembled
from aiperf.record.facts import Phase
from aiperf.report.request_lines import LineContext, raw_lines, request_lines
from aiperf.report.shards import ShardWriter
from aiperf.service.layout import Layout
from aiperf.wire.messages import Configure

LINES_SUFFIX = ".lines"
RAW_SUFFIX = ".raw"

_EXPORTED = [(row, metric.tag) for row, metric in enumerate(PER_REQUEST) if metric.exported]
_UNITS = {metric.tag: metric.unit for metric in PER_REQUEST}


class ShardOutlet:
    """Takes finished records, gives partial results, writes lines on the way."""

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
        level = plan.results.export_level
        self.path = shard_path(layout, name)
        self._lines = None if level == "summary" else ShardWriter(_fresh(self.path, LINES_SUFFIX))
        self._raw = ShardWriter(_fresh(self.path, RAW_SUFFIX)) if level == "raw" else None

    def write(self, phase: int, assembled: Assembled) -> Partial:
        """The partial result of records of one phase. Lines are written of measured ones only.

        Raises: InfrastructureError if they cannot be written.
        """
        facts, texts = assembled.facts, assembled.error_texts
        by_row = {row: text for row, text in enumerate(texts) if text}
        partial = Partial.of(facts, assembled.gaps_ns, np.diff(assembled.gap_offsets), by_row, self._objectives, phase)
        if phase == Phase.PROFILING:
            try:
                self._write_lines(partial, assembled)
            except OSError as error:
                raise InfrastructureError(f"cannot write lines of requests to {self.path}: {error.strerror}") from error
        return partial

    def _write_lines(self, partial: Partial, assembled: Assembled) -> None:
        facts, texts = assembled.facts, assembled.error_texts
        if self._lines is not None:
            values = partial.samples.waiting.table
            metrics = {tag: values[row] for row, tag in _EXPORTED}
            self._lines.write(request_lines(facts, metrics, _UNITS, texts, self._context))
        if self._raw is not None and assembled.raw is not None:
            bodies = [self._store.body(entry) for entry in facts["entry_index"].tolist()]
            self._raw.write(raw_lines(facts, assembled.raw, bodies, self._headers, texts, self._context))

    def close(self) -> str:
        """Closes the shards; their common path without suffix, empty if there are none."""
        for shard in (self._lines, self._raw):
            if shard is not None:
                shard.close()
        return str(self.path) if self._lines is not None else ""


def shard_path(layout: Layout, name: str) -> Path:
    """Where a record processor's shards are, without suffix: also those of one that was lost."""
    return Path(layout.data_dir) / name


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
            ),
        )


def _fresh(path: Path, suffix: str) -> Path:
    """The shard's file, without what this record processor wrote if it was started again before the load."""
    file = Path(f"{path}{suffix}")
    file.unlink(missing_ok=True)
    return file
