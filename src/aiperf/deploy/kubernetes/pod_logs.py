"""What the containers of a run write, as lines with the name of their host.

Owns: which containers there are, the order of their lines. Does not own: reading one container's log (`cluster`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.names import LABEL_COMPONENT, Component, run_labels
from aiperf.deploy.kubernetes.pod_state import INDEX_LABEL
from aiperf.errors import AIPerfError


class Line(NamedTuple):
    host: str
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """One container."""

    host: str
    """`worker-3`, `controller`."""
    pod: str
    container: str
    has_begun: bool


def sources_of(pod: Mapping[str, Any]) -> list[Source]:
    """The pod's containers, in the order in which they start."""
    index = pod["metadata"].get("labels", {}).get(INDEX_LABEL)
    suffix = "" if index is None else f"-{index}"
    status = pod.get("status", {})
    states = {
        each["name"]: each.get("state", {})
        for each in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", []))
    }
    return [
        Source(
            f"{each['name']}{suffix}",
            pod["metadata"]["name"],
            each["name"],
            not states.get(each["name"], {"waiting": {}}).keys().isdisjoint(("running", "terminated")),
        )
        for each in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"])
    ]


def is_wanted(host: str, component: str | None) -> bool:
    """`worker` wants every worker, `worker-3` that one; None wants all."""
    return component is None or host == component or host.rpartition("-")[0] == component


async def past_lines(
    cluster: Cluster, namespace: str, run_id: str, wanted: Callable[[str], bool], tail: int | None
) -> list[Line]:
    """What was written until now, in the order of time. `tail`: the last so many lines of each container."""
    pods = await cluster.list("Pod", namespace, run_labels(run_id))
    sources = [source for pod in pods for source in sources_of(pod) if wanted(source.host) and source.has_begun]
    texts = await asyncio.gather(
        *(
            cluster.pod_log(source.pod, namespace, source.container, tail_lines=tail, timestamps=True)
            for source in sources
        )
    )
    stamped = [
        (stamp, source.host, text)
        for source, log in zip(sources, texts, strict=True)
        for stamp, _, text in (line.partition(" ") for line in log.splitlines())
    ]
    return [Line(host, text) for _, host, text in sorted(stamped, key=lambda entry: entry[0])]


async def follow_lines(
    cluster: Cluster, namespace: str, run_id: str, wanted: Callable[[str], bool], tail: int | None
) -> AsyncIterator[Line]:
    """Lines as they are written, until the controller's pod has ended and nothing more comes."""
    lines: asyncio.Queue[Line | AIPerfError | None] = asyncio.Queue()

    async def guarded(source: Source) -> None:
        try:
            await _follow(cluster, namespace, source, tail, lines)
        except AIPerfError as error:
            lines.put_nowait(error)

    async def watch() -> None:
        followers: dict[tuple[str, str], asyncio.Task[None]] = {}
        try:
            async for kind, pod in cluster.watch_pods(namespace, run_labels(run_id)):
                for source in sources_of(pod):
                    key = (str(pod["metadata"]["uid"]), source.container)
                    if wanted(source.host) and source.has_begun and key not in followers:
                        followers[key] = asyncio.create_task(guarded(source))
                if _is_controllers_end(kind, pod):
                    break
            await asyncio.gather(*followers.values())
            lines.put_nowait(None)
        except AIPerfError as error:
            lines.put_nowait(error)
        finally:
            for task in followers.values():
                task.cancel()

    watching = asyncio.create_task(watch())
    try:
        while (line := await lines.get()) is not None:
            if isinstance(line, AIPerfError):
                raise line
            yield line
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _follow(
    cluster: Cluster, namespace: str, source: Source, tail: int | None, lines: asyncio.Queue[Line | AIPerfError | None]
) -> None:
    since = ""
    if tail is not None:
        past = await cluster.pod_log(source.pod, namespace, source.container, tail_lines=tail, timestamps=True)
        for each in past.splitlines():
            since, _, text = each.partition(" ")
            lines.put_nowait(Line(source.host, text))
    async for text in cluster.follow_log(source.pod, namespace, source.container, since):
        lines.put_nowait(Line(source.host, text))


def _is_controllers_end(kind: str, pod: Mapping[str, Any]) -> bool:
    if pod["metadata"].get("labels", {}).get(LABEL_COMPONENT) != Component.CONTROLLER:
        return False
    return kind == "DELETED" or pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
