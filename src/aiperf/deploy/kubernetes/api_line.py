"""The operator's line to a controller in a cluster: its HTTP API, by whatever way leads there.

Owns: waiting until the controller answers, sending the user's files, what is told, bringing the results home. Does not
own: the way (`reach`), transfers (`aiperf.api`).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from aiperf.api.client import ApiClient
from aiperf.api.connection import ApiAddress
from aiperf.api.contract import Told, Uploadable, UploadInfo
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.pods import START_LIMIT_S
from aiperf.deploy.kubernetes.reach import Entrance, open_way
from aiperf.deploy.line import ResultsStayError
from aiperf.errors import AIPerfError, ClusterError
from aiperf.wire.messages import AnyMessage, RunFinished

OPENING_LIMIT_S = 900.0
"""How long pods may take to be scheduled and pull their image. Who watches them gives up earlier, with the reason."""
PAUSE_S = 0.25
LOG_LIMIT_S = 5.0
"""How long a run without results is asked for its log."""
FIRST_ANSWER_S = START_LIMIT_S + 30.0
"""From the start of the controller's container to its first answer. One that takes longer is ended by its own probe:
that is seen, and says more than silence."""


class ApiLine:
    """To be used within one event loop."""

    def __init__(
        self,
        cluster: Cluster,
        entrance: Entrance,
        artifact_dir: Path,
        tell: Callable[[str], None],
        *,
        files: Mapping[Uploadable, Path] | None = None,
        awaited: Sequence[Uploadable] = (),
        opened: Callable[[], None] = lambda: None,
        keeps: bool = False,
    ) -> None:
        """`files`: to be sent as soon as the controller answers; then `opened` is called. `awaited`: files that
        somebody else was to send. `keeps`: the controller goes on to serve the results when they were fetched."""
        self._cluster = cluster
        self._entrance = entrance
        self._artifact_dir = artifact_dir
        self._tell = tell
        self._files = files or {}
        self._awaited = awaited
        self._opened = opened
        self._keeps = keeps
        self._stack = contextlib.AsyncExitStack()
        self._client: ApiClient | None = None
        self._told: AsyncIterator[Told] | None = None
        self._orders: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        address = await self._way()
        client = await self._stack.enter_async_context(ApiClient(address, patience_s=FIRST_ANSWER_S))
        await client.run_info()
        self._opened()
        for what, path in self._files.items():
            self._tell(f"sending {path.name} ({path.stat().st_size / 1e6:,.1f} MB)")
            await client.upload(what, path)
        for what in self._awaited:
            if not (info := await client.upload_info(what)).complete:
                self._tell(missing_text(what, info, self._entrance))
        self._client = client
        self._told = client.follow()

    async def _way(self) -> ApiAddress:
        """The way to the controller's pod, once there is one. Raises: ClusterError."""
        deadline_s = time.monotonic() + OPENING_LIMIT_S
        while True:
            try:
                return await self._stack.enter_async_context(open_way(self._cluster, self._entrance))
            except ClusterError as error:
                if error.reason != "NotFound":
                    raise
                if time.monotonic() > deadline_s:
                    what = f"no controller came within {OPENING_LIMIT_S:g} s: {error.what}"
                    raise ClusterError(what, error.hint) from error
            await asyncio.sleep(PAUSE_S)

    async def receive(self) -> AnyMessage:
        assert self._told is not None
        return await anext(self._told)

    def stop(self, *, now: bool) -> bool:
        if self._client is None:
            return False
        order = asyncio.create_task(self._order_stop(self._client, now=now))
        self._orders.add(order)
        order.add_done_callback(self._orders.discard)
        return True

    async def _order_stop(self, client: ApiClient, *, now: bool) -> None:
        try:
            await client.stop(now=now)
        except AIPerfError as error:
            self._tell(f"the run was not told to stop: {error}")

    def tell_loss(self, host_id: str, reason: str) -> None:
        """The controller watches pods itself, or hears their silence."""

    async def bring_home(self, finished: RunFinished) -> RunFinished:
        if self._client is None:
            return finished  # It was ended before the controller was reached: there is nothing to fetch.
        if not finished.summary_path:
            with contextlib.suppress(AIPerfError, TimeoutError, OSError):
                # There is nothing but the log to fetch; why the run failed is known, and its controller may be gone.
                async with asyncio.timeout(LOG_LIMIT_S):
                    await self._fetch(self._client)
            return finished
        try:
            paths = await self._fetch(self._client)
        except OSError as error:  # of this machine's disk: failures of the way are told as others
            raise ResultsStayError(self._stay_text(error)) from error
        name = Path(finished.summary_path).name
        summary = next((path for path in paths if path.name == name), None)
        return msgspec.structs.replace(
            finished, artifact_dir=str(self._artifact_dir), summary_path=str(summary) if summary else ""
        )

    def _stay_text(self, error: OSError) -> str:
        run = f"{self._entrance.run_id} --namespace {self._entrance.namespace}"
        return (
            f"the results cannot be written to {self._artifact_dir}: {error.strerror or error}\n"
            f"    They wait in the cluster, as long as --ttl-seconds tells: aiperf kube results {run} --output DIR"
        )

    async def _fetch(self, client: ApiClient) -> list[Path]:
        paths = await client.fetch_artifacts(self._artifact_dir)
        if not self._keeps:
            await client.confirm_fetched()
        return paths

    async def close(self) -> None:
        """Lets go of the way."""
        await self._stack.aclose()


def missing_text(what: Uploadable, info: UploadInfo, entrance: Entrance) -> str:
    """For who attaches to a run whose file is not all there: it may still be on its way, or never come."""
    name = info.name or ("its input file" if what is Uploadable.INPUT else "its tokenizer")
    come = f"{info.offset / 1e6:,.1f} of {info.size / 1e6:,.1f} MB have" if info.size else "nothing has"
    run = f"{entrance.run_id} --namespace {entrance.namespace}"
    return (
        f"the run waits for {name}: {come} come. Only the command that started the run sends it; if that has ended, "
        f"remove this run (aiperf kube cleanup {run} --all) and start it anew"
    )
