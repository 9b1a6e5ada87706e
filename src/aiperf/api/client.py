"""The client of the controller's API, for the command line and for workers.

Owns: one method per thing that can be asked, files side by side, putting results into place. Does not own: a single
transfer (`download`, `send_file`), how the controller is reached (`aiperf.deploy`).
"""

import asyncio
import contextlib
import functools
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import msgspec

from aiperf.api.connection import ApiAddress, Connections
from aiperf.api.contract import (
    ArtifactInfo,
    RunInfo,
    StopOrder,
    Told,
    Uploadable,
    UploadInfo,
    run_from_json,
    upload_path,
)
from aiperf.api.download import download
from aiperf.api.failures import DamagedTransferError
from aiperf.api.patience import Patience
from aiperf.api.persist import check, persist
from aiperf.api.send_file import send_file

PATIENCE_S = 30.0
"""How long the controller may be away before it counts as lost."""

STAGING = ".aiperf-fetch"
"""Folder within the target where files are until all of them have arrived."""

READ_BYTES = 1 << 20

T = TypeVar("T")


class ApiClient:
    """To be used as `async with`; leaving cuts what is in progress."""

    def __init__(self, address: ApiAddress, *, patience_s: float = PATIENCE_S, parallel: int = 4) -> None:
        """`parallel`: so many files are fetched at a time."""
        self._address = address
        self._patience_s = patience_s
        self._connections = Connections(address)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="transfer")

    async def run_info(self) -> RunInfo:
        """The run as it stands. Raises: ControllerLostError, ApiRefusedError, as every method here."""
        return run_from_json(await self._ask("GET", "/v1/run"))

    def follow(self) -> AsyncIterator[Told]:
        """What is told of the run, to its end: `RunFinished` comes last, once, whatever happens to connections."""
        # Workers never follow, and need not load the WebSocket library (0.1 s).
        from aiperf.api.follow import follow

        return follow(self._address, patience_s=self._patience_s)

    async def stop(self, *, now: bool) -> None:
        """Asks for the end of the load. `now`: what is in flight is cut at once."""
        await self._ask("POST", "/v1/stop", StopOrder(now))

    async def artifacts(self) -> list[ArtifactInfo]:
        """What there is to fetch once the run is over. Order: as written; the summary is last."""
        return msgspec.json.decode(await self._ask("GET", "/v1/artifacts"), type=list[ArtifactInfo])

    async def fetch_artifacts(self, into: Path, received: Callable[[int], None] = lambda _: None) -> list[Path]:
        """Fetches all results into the folder; returns their paths.

        They come into place together once all have arrived, the summary last. What an earlier, interrupted call had
        fetched is not fetched again. `received` hears from threads how many bytes came, compressed.
        Raises: also DamagedTransferError; OSError if the disk will not have them.
        """
        infos = await self.artifacts()
        names = {info.name: _safe_path(info.name) for info in infos}
        staging = into / STAGING

        def fetch(info: ArtifactInfo) -> None:
            target = staging / names[info.name]
            if _has_content(target, info):
                return
            path = f"/v1/artifacts/{quote(info.name)}"
            download(self._connections, path, target, patience_s=self._patience_s, received=received)

        # The largest first: they take longest.
        await self._in_threads(fetch, sorted(infos, key=lambda info: -info.compressed_size))
        return await self._in_thread(_put_into_place, staging, into, list(names.values()))

    async def confirm_fetched(self) -> None:
        """Tells the controller that it need not wait any longer."""
        await self._ask("POST", "/v1/fetched")

    async def upload(self, what: Uploadable, path: Path, sent: Callable[[int], None] = lambda _: None) -> str:
        """Sends a file of the user's; returns its SHA-256."""
        return await self._in_thread(
            functools.partial(send_file, self._connections, what, path, patience_s=self._patience_s, sent=sent)
        )

    async def upload_info(self, what: Uploadable) -> UploadInfo:
        """How far the user's file has come."""
        return msgspec.json.decode(await self._ask("GET", upload_path(what)), type=UploadInfo)

    async def fetch_upload(self, what: Uploadable, target: Path, *, arrival_limit_s: float) -> str:
        """Fetches what the user sent; returns its SHA-256. Waits so long for it to arrive there."""
        return await self._fetch(f"{upload_path(what)}/content", target, arrival_limit_s)

    async def fetch_dataset_store(self, target: Path, *, compile_limit_s: float) -> str:
        """Fetches the compiled dataset; returns its SHA-256. Waits so long for it to be compiled."""
        return await self._fetch("/v1/dataset/store", target, compile_limit_s)

    async def fetch_dataset_tokenizer(self, target: Path) -> str:
        """Fetches the tokenizer that the dataset was compiled with; returns its SHA-256."""
        return await self._fetch("/v1/dataset/tokenizer", target, self._patience_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connections.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _fetch(self, path: str, target: Path, limit_s: float) -> str:
        patience_s = max(limit_s, self._patience_s)
        return await self._in_thread(
            functools.partial(download, self._connections, path, target, patience_s=patience_s)
        )

    async def _ask(self, method: str, path: str, order: msgspec.Struct | None = None) -> bytes:
        body = msgspec.json.encode(order) if order is not None else b"" if method == "POST" else None

        def attempt(_: Patience) -> bytes:
            headers = {"Content-Type": "application/json"} if body else {}
            with self._connections.exchange(method, path, headers, body) as answer:
                check(answer, 200, 202)
                return answer.body()

        return await self._in_thread(
            functools.partial(
                persist, attempt, self._connections, patience_s=self._patience_s, doing=f"{method} {path}"
            )
        )

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    async def _in_threads(self, work: Callable[[T], None], items: Sequence[T]) -> None:
        """Works on all items. Raises: what the first failure raises; the others are cut then."""
        jobs = [asyncio.ensure_future(self._in_thread(work, item)) for item in items]
        try:
            await asyncio.gather(*jobs)
        except BaseException:
            self._connections.close()
            await asyncio.gather(*jobs, return_exceptions=True)
            raise


def _safe_path(name: str) -> Path:
    """The name as a path that stays in the target folder. Raises: DamagedTransferError if it would not."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or "\\" in name or "\0" in name or not {"..", STAGING}.isdisjoint(path.parts):
        raise DamagedTransferError(f"the controller names an artifact `{name}`: no path within a folder")
    return Path(*path.parts)


def _has_content(path: Path, info: ArtifactInfo) -> bool:
    if not path.is_file() or path.stat().st_size != info.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == info.sha256


def _put_into_place(staging: Path, into: Path, names: Sequence[Path]) -> list[Path]:
    for name in names:
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (staging / name).replace(into / name)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(staging)
    return [into / name for name in names]
