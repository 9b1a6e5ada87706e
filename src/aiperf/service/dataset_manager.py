"""The dataset manager: compiles the dataset once into the store file that workers and record processors map.

Owns: when that happens and who is told. Does not own: the dataset's content or format (`aiperf.dataset`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiperf.api.contract import Uploadable
from aiperf.dataset.compile import compile_dataset
from aiperf.dataset.tokens import BUILTIN
from aiperf.endpoint.dialects import DIALECTS
from aiperf.plan.plan import Plan
from aiperf.report.atomic import atomic_file
from aiperf.service.layout import Layout
from aiperf.service.supply import Supply
from aiperf.service.together import run_together
from aiperf.wire.bus import Seat
from aiperf.wire.messages import DatasetReady, Exit

log = logging.getLogger(__name__)

STORE_NAME = "dataset.store"
TOKENIZER_NAME = "tokenizer.json"


class DatasetManager:
    """`run()` returns when it is told to exit."""

    def __init__(
        self,
        *,
        seat: Seat,
        plan: Plan,
        layout: Layout,
        supply: Supply,
        in_thread: Callable[..., Awaitable[Any]],
    ) -> None:
        self._seat = seat
        self._plan = plan
        self._layout = layout
        self._supply = supply
        self._in_thread = in_thread
        self._data_dir = Path(layout.data_dir)
        self._store_path = self._data_dir / STORE_NAME

    async def run(self) -> None:
        await run_together(self._provide(), self._take_orders())

    async def _take_orders(self) -> None:
        while True:
            _, message = await self._seat.receive()
            if isinstance(message, Exit):
                return

    async def _provide(self) -> None:
        for what, path in self._layout.uploads.items():
            await self._supply.user_file(Uploadable(what), Path(path))
        # In a thread, so that the other services of this process go on meanwhile.
        self._seat.send(await self._in_thread(self._compile))
        await asyncio.Event().wait()

    def _compile(self) -> DatasetReady:
        if (url := self._plan.input.input_file or "").startswith("https://"):
            from aiperf.dataset.remote_file import fetch_remote_file  # loads the standard library's HTTP client

            fetched = fetch_remote_file(url, self._data_dir / "fetched")
            self._plan = self._plan.model_copy(
                update={"input": self._plan.input.model_copy(update={"input_file": str(fetched)})}
            )
        warnings: list[str] = []
        dialect = DIALECTS[self._plan.endpoint.endpoint_type]
        compiled = compile_dataset(self._plan, self._layout.random_seed, dialect, self._store_path, warnings.append)
        log.info("dataset of %d entries, tokens by %s", compiled.info.entry_count, compiled.tokenizer_name)
        return DatasetReady(
            path=str(self._store_path),
            entry_count=compiled.info.entry_count,
            tokenizer_name=compiled.tokenizer_name,
            tokenizer_source=self._shared_tokenizer(compiled.tokenizer_source),
            warnings=warnings,
        )

    def _shared_tokenizer(self, source: str) -> str:
        """The source as other hosts can have it: beside the dataset, where they do not see this one's files."""
        if source == BUILTIN or self._layout.shares_disk:
            return source
        shared = self._data_dir / TOKENIZER_NAME
        with atomic_file(shared) as out:
            out.write(Path(source).read_bytes())
        return str(shared)
