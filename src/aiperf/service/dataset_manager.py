"""The dataset manager: compiles the dataset once into the store file that workers and record processors map.

Owns: when that happens and who is told. Does not own: the dataset's content or format (`aiperf.dataset`).
"""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiperf.dataset.compile import compile_dataset
from aiperf.endpoint.dialects import DIALECTS
from aiperf.plan.plan import Plan
from aiperf.wire.bus import Seat
from aiperf.wire.messages import DatasetReady, Exit

log = logging.getLogger(__name__)

STORE_NAME = "dataset.store"


class DatasetManager:
    def __init__(
        self, *, seat: Seat, plan: Plan, seed: int, data_dir: Path, in_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._seat = seat
        self._plan = plan
        self._seed = seed
        self._in_thread = in_thread
        self._store_path = data_dir / STORE_NAME

    async def run(self) -> None:
        # In a thread, so that the other services of this process go on meanwhile.
        self._seat.send(await self._in_thread(self._compile))
        while True:
            _, message = await self._seat.receive()
            if isinstance(message, Exit):
                return

    def _compile(self) -> DatasetReady:
        warnings: list[str] = []
        dialect = DIALECTS[self._plan.endpoint.endpoint_type]
        compiled = compile_dataset(self._plan, self._seed, dialect, self._store_path, warnings.append)
        log.info("dataset of %d entries, tokens by %s", compiled.info.entry_count, compiled.tokenizer_name)
        return DatasetReady(
            path=str(self._store_path),
            entry_count=compiled.info.entry_count,
            tokenizer_name=compiled.tokenizer_name,
            tokenizer_source=compiled.tokenizer_source,
            warnings=warnings,
        )
