"""A Kubernetes cluster as aiperf uses it: plain dictionaries in and out, every failure in plain words.

Owns: the verbs, creating so that a repeated request does no harm, watches and logs that survive interruptions. Does not
own: sending and trying again (`session`), which cluster (`kubeconfig`), tunnels (`port_forward`).
"""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self

from aiperf.deploy.kubernetes.manifests import DELETE_OPTIONS, Manifest
from aiperf.deploy.kubernetes.names import LABEL_RUN_ID
from aiperf.deploy.kubernetes.pod_mirror import Change, PodMirror
from aiperf.deploy.kubernetes.refusals import Request
from aiperf.deploy.kubernetes.resources import RESOURCES, Resource
from aiperf.deploy.kubernetes.session import BROKEN, PATIENCE_S, PAUSE_MIN_S, Session, Transport
from aiperf.errors import ClusterError

FIRST_PATIENCE_S = 3.0
"""Of the first request: an address that is wrong stays wrong."""
WATCH_PATIENCE_S = 300.0
"""A run goes on without the API server; so does watching it."""
WATCH_S = 50
"""After which the server ends a watch and it is begun anew: a connection that died silently is noticed by then."""
PAGE = 500

Objects = list[dict[str, Any]]


class Cluster:
    """One API server, as one user. Made by `connect`. Methods raise ClusterError."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> AsyncIterator[Self]:
        """The cluster of a kubeconfig's context, as kubectl finds it, or of the pod we are in. It has answered once."""
        with tempfile.TemporaryDirectory(prefix="aiperf-kube-") as private_dir:
            session = Session(kubeconfig, context, Path(private_dir))
            try:
                await session.log_in()
                await session.get("/version", Request("get", "version"), patience_s=FIRST_PATIENCE_S)
                yield cls(session)
            finally:
                await session.close()

    @property
    def context(self) -> str:
        return self._session.access.context

    @property
    def server(self) -> str:
        return self._session.access.server

    @property
    def namespace(self) -> str:
        """The context's."""
        return self._session.access.namespace

    async def version(self) -> str:
        """As the server tells: `v1.35.2`."""
        answer = await self._session.get("/version", Request("get", "version"))
        return str(answer["gitVersion"])

    async def create(self, manifest: Manifest) -> dict[str, Any]:
        """The object as it was made. One that exists already and is of the same run is taken for the one just made."""
        resource, namespace, name = _place(manifest)
        request = Request("create", resource.plural, namespace, name)
        try:
            return await self._session.json("POST", resource.path(namespace), request, body=manifest)
        except ClusterError as error:
            if error.reason != "AlreadyExists":
                raise
            run = manifest["metadata"].get("labels", {}).get(LABEL_RUN_ID)
            there = await self.get(manifest["kind"], name, namespace)
            if run is None or there is None or there["metadata"].get("labels", {}).get(LABEL_RUN_ID) != run:
                raise
            return there

    async def dry_run(self, manifest: Manifest) -> list[str]:
        """Asks the server to check an object without making it. Its warnings. Raises: ClusterError if it refuses."""
        resource, namespace, name = _place(manifest)
        request = Request("create", resource.plural, namespace, name)
        response = await self._session.send(
            "POST", resource.path(namespace), request, body=manifest, params={"dryRun": "All"}, patience_s=PATIENCE_S
        )
        # `299 - "text"`. Source: RFC 7234, section 5.5.
        return [value.partition('"')[2].rpartition('"')[0] for value in response.headers.get_list("warning")]

    async def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """The object, or None if it is not there."""
        resource = RESOURCES[kind]
        try:
            return await self._session.get(
                resource.path(namespace, name),
                Request("get", resource.plural, namespace if resource.namespaced else "", name),
            )
        except ClusterError as error:
            if error.reason == "NotFound":
                return None
            raise

    async def list(
        self,
        kind: str,
        namespace: str = "",
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Objects:
        """All objects of a kind that have these labels, in one namespace or (without one) in all."""
        return (await self._list(kind, namespace, labels, fields, PATIENCE_S))[0]

    async def events(self, namespace: str, name: str, uid: str = "") -> Objects:
        """What happened to an object (with a UID: not to an older one of its name), oldest first.

        Nothing for who may not know.
        """
        fields = {"involvedObject.name": name, **({"involvedObject.uid": uid} if uid else {})}
        try:
            events = await self.list("Event", namespace, fields=fields)
        except ClusterError as error:
            if error.reason == "Forbidden":
                return []
            raise
        return sorted(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    async def patch(self, kind: str, name: str, namespace: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """The object after a merge patch."""
        resource = RESOURCES[kind]
        return await self._session.json(
            "PATCH",
            resource.path(namespace, name),
            Request("patch", resource.plural, namespace if resource.namespaced else "", name),
            body=patch,
            content_type="application/merge-patch+json",
        )

    async def delete(self, kind: str, name: str, namespace: str = "") -> bool:
        """Asks for the object's end, and that of all it owns. False if it was not there."""
        resource = RESOURCES[kind]
        request = Request("delete", resource.plural, namespace if resource.namespaced else "", name)
        try:
            await self._session.json("DELETE", resource.path(namespace, name), request, body=DELETE_OPTIONS)
        except ClusterError as error:
            if error.reason == "NotFound":
                return False
            raise
        return True

    async def may(
        self, verb: str, group: str, resource: str, subresource: str = "", namespace: str = "", name: str = ""
    ) -> bool:
        """Whether the user has this right."""
        attributes = {
            "verb": verb, "group": group, "resource": resource,
            "subresource": subresource, "namespace": namespace, "name": name,
        }  # fmt: skip
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
        }
        path = RESOURCES["SelfSubjectAccessReview"].path()
        answer = await self._session.json("POST", path, Request("create", "selfsubjectaccessreviews"), body=review)
        return bool(answer["status"]["allowed"])

    async def pod_log(
        self,
        name: str,
        namespace: str,
        container: str,
        *,
        tail_lines: int | None = None,
        previous: bool = False,
        timestamps: bool = False,
    ) -> str:
        """What a container has written; nothing if it has not run. `timestamps`: RFC 3339 before each line."""
        params: dict[str, str] = {"container": container, "timestamps": str(timestamps).lower()}
        if tail_lines is not None:
            params["tailLines"] = str(tail_lines)
        if previous:
            params["previous"] = "true"
        path, request = RESOURCES["Pod"].path(namespace, name, "log"), Request("get", "pods/log", namespace, name)
        try:
            response = await self._session.send("GET", path, request, params=params, patience_s=PATIENCE_S)
        except ClusterError as error:
            if error.reason in ("BadRequest", "NotFound"):  # it has not started, or there was none before it
                return ""
            raise
        return response.text

    async def follow_log(self, name: str, namespace: str, container: str, since: str = "") -> AsyncIterator[str]:
        """Lines as they are written, until the container ends. `since`: RFC 3339; lines of before are left out.

        Connections that drop are made anew, and no line is told twice.
        """
        path, request = RESOURCES["Pod"].path(namespace, name, "log"), Request("get", "pods/log", namespace, name)
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            params = {"container": container, "follow": "true", "timestamps": "true"}
            if since:
                params["sinceTime"] = since
            with contextlib.suppress(*BROKEN):
                async with self._session.stream(path, request, params, read_s=None) as lines:
                    async for line in lines:
                        deadline_s = time.monotonic() + PATIENCE_S
                        stamp, _, text = line.partition(" ")
                        if stamp > since or not since:
                            since = stamp
                            yield text
            pod = await self.get("Pod", name, namespace)
            if pod is None or not _is_running(pod, container) or time.monotonic() > deadline_s:
                return
            await asyncio.sleep(PAUSE_MIN_S)

    async def watch_pods(
        self, namespace: str, labels: Mapping[str, str], *, patience_s: float = WATCH_PATIENCE_S
    ) -> AsyncIterator[Change]:
        """Changes of pods, for ever; first those that there are. Raises: ClusterError if the server stays away."""
        mirror = PodMirror()
        request = Request("watch", "pods", namespace)
        path = RESOURCES["Pod"].path(namespace)
        while True:
            pods, version = await self._list("Pod", namespace, labels, None, patience_s)
            for change in mirror.listed(pods):
                yield change
            while version:
                params = {
                    "watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_S),
                    "resourceVersion": version, "labelSelector": _selector(labels),
                }  # fmt: skip
                try:
                    async with self._session.stream(path, request, params, read_s=WATCH_S + 10) as lines:
                        async for line in lines:
                            event = json.loads(line)
                            if event["type"] == "ERROR":  # the version is too old, mostly
                                version = ""
                                break
                            version = event["object"]["metadata"]["resourceVersion"]
                            if event["type"] != "BOOKMARK":
                                for change in mirror.happened(event["type"], event["object"]):
                                    yield change
                except (*BROKEN, json.JSONDecodeError):
                    version = ""
                except ClusterError as error:
                    if error.reason == "Forbidden":
                        raise
                    version = ""
            await asyncio.sleep(PAUSE_MIN_S)

    async def transport(self) -> Transport:
        """For who opens connections of his own."""
        return await self._session.transport()

    async def log_in_again(self) -> None:
        """Gets new credentials, for connections of one's own that were refused for the old ones."""
        await self._session.log_in()

    async def _list(
        self,
        kind: str,
        namespace: str,
        labels: Mapping[str, str] | None,
        fields: Mapping[str, str] | None,
        patience_s: float,
    ) -> tuple[Objects, str]:
        """Objects, and the version of the list that a watch goes on from."""
        resource = RESOURCES[kind]
        params = {"limit": str(PAGE)}
        if labels:
            params["labelSelector"] = _selector(labels)
        if fields:
            params["fieldSelector"] = _selector(fields)
        items: Objects = []
        while True:
            request = Request("list", resource.plural, namespace)
            page = await self._session.get(resource.path(namespace), request, params, patience_s)
            items += page["items"]
            if not (more := page["metadata"].get("continue")):
                return items, page["metadata"]["resourceVersion"]
            params["continue"] = more


def _place(manifest: Manifest) -> tuple[Resource, str, str]:
    resource = RESOURCES[manifest["kind"]]
    namespace = manifest["metadata"].get("namespace", "") if resource.namespaced else ""
    return resource, namespace, manifest["metadata"]["name"]


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _is_running(pod: Mapping[str, Any], container: str) -> bool:
    status = pod.get("status", {})
    states = [*status.get("containerStatuses", []), *status.get("initContainerStatuses", [])]
    return any(state["name"] == container and "running" in state.get("state", {}) for state in states)
