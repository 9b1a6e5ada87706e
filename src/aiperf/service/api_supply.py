"""Files of other hosts, brought here by their API, once per pod.

Owns: waiting for them, one download for all containers that see the same folder. Does not own: the transfers.
"""

import asyncio
import fcntl
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiperf.api.client import ApiClient
from aiperf.api.connection import ApiAddress
from aiperf.api.contract import Uploadable
from aiperf.errors import InfrastructureError

COMPILE_LIMIT_S = 3_600.0
"""How long an upload and the compiling may take: a bound against waiting for ever."""
UPLOAD_SILENCE_S = 300.0
"""After so long without a byte of an upload its sender will not come again: that one tries for less."""


class ApiSupply:
    """By the API of other hosts. `run`, `dataset`: addresses; None: that part's host is this one."""

    def __init__(self, run: ApiAddress | None, dataset: ApiAddress | None) -> None:
        self._run = run
        self._dataset = dataset

    async def user_file(self, what: Uploadable, path: Path) -> None:
        """Waits for the upload where it arrives here, else fetches it from where it does.

        Raises: InfrastructureError if it does not come.
        """
        if self._run is None:
            await _arrival(what, path)
            return
        await _fetch_once(
            self._run, path, lambda client: client.fetch_upload(what, path, arrival_limit_s=COMPILE_LIMIT_S)
        )

    async def dataset(self, path: Path) -> None:
        if self._dataset is not None:
            await _fetch_once(
                self._dataset, path, lambda client: client.fetch_dataset_store(path, compile_limit_s=COMPILE_LIMIT_S)
            )

    async def tokenizer(self, path: Path) -> None:
        if self._dataset is not None:
            await _fetch_once(self._dataset, path, lambda client: client.fetch_dataset_tokenizer(path))


async def _arrival(what: Uploadable, path: Path) -> None:
    loop = asyncio.get_running_loop()
    come_bytes, since_s = 0, loop.time()
    while not path.exists():  # appears whole, by its last renaming
        size = sum(part.stat().st_size for part in path.parent.glob(f"*{path.name}*"))
        if size != come_bytes:
            come_bytes, since_s = size, loop.time()
        elif loop.time() - since_s > UPLOAD_SILENCE_S:
            text = f"nothing more of the {what.value} to be sent here has come for {UPLOAD_SILENCE_S:g} s"
            raise InfrastructureError(f"{text}: the command that sends it has ended, or its way is cut")
        await asyncio.sleep(0.05)


async def _fetch_once(address: ApiAddress, path: Path, fetch: Callable[[ApiClient], Awaitable[str]]) -> None:
    """Fetches unless another container of this pod, which sees the same folder, has done so or is about to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)  # let go by the kernel if its holder dies
        if not path.exists():
            async with ApiClient(address) as client:
                await fetch(client)
