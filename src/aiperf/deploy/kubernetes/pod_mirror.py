"""What is known of watched pods, through interruptions of the watch.

Owns: list or event → what to tell of it. Does not own: asking the API (`cluster`).

After an interruption everything is listed anew: pods that went meanwhile are told as deleted, changed ones as modified,
and the others not at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Pod = Mapping[str, Any]
Change = tuple[str, Pod]
"""`ADDED`, `MODIFIED` or `DELETED`, and the pod as last seen."""


class PodMirror:
    def __init__(self) -> None:
        self._pods: dict[str, Pod] = {}
        """By UID: a pod and its replacement may share a name."""

    def listed(self, pods: Sequence[Pod]) -> Iterator[Change]:
        """What differs from what is known."""
        now = {pod["metadata"]["uid"]: pod for pod in pods}
        gone = [pod for uid, pod in self._pods.items() if uid not in now]
        changes: list[Change] = [("DELETED", pod) for pod in gone]
        for uid, pod in now.items():
            known = self._pods.get(uid)
            if known is None:
                changes.append(("ADDED", pod))
            elif _version(known) != _version(pod):
                changes.append(("MODIFIED", pod))
        self._pods = now
        yield from changes

    def happened(self, kind: str, pod: Pod) -> Iterator[Change]:
        """An event of the watch. Those that tell nothing new are left out."""
        uid = pod["metadata"]["uid"]
        known = self._pods.get(uid)
        if kind == "DELETED":
            if known is not None:
                del self._pods[uid]
                yield kind, pod
        elif known is None or _version(known) != _version(pod):
            self._pods[uid] = pod
            yield "ADDED" if known is None else "MODIFIED", pod


def _version(pod: Pod) -> str:
    return str(pod["metadata"].get("resourceVersion", ""))
