"""A session with one API server: requests, repeated until they are answered or their patience ends.

Owns: credentials and their renewal, what is tried again and for how long, streams. Does not own: which cluster
(`kubeconfig`), what refusals mean (`refusals`), kinds and verbs (`cluster`).

Theory of operation. An API server that restarts refuses connections, then answers 429, 500 or 503, then for a moment
401 or 403 while it reads its rules: after a failure these are believed only when they last. 401 without a failure
before means credentials that have run out: the kubeconfig is read anew (and its plugin asked) once. kr8s' own handling
of both is not used: it repeats each refused request four times and waits without end for one that is not answered.
"""

import asyncio
import contextlib
import logging
import os
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from kr8s import APITimeoutError
from kr8s.asyncio import Api

from aiperf.deploy.kubernetes.kubeconfig import Access, read_access
from aiperf.deploy.kubernetes.proxy import Proxy
from aiperf.deploy.kubernetes.refusals import Request, credentials_failed, is_transient, refusal, unreachable
from aiperf.errors import ClusterError

PATIENCE_S = 30.0
"""How long a request is tried: an API server that is restarted is back after ten to twenty seconds."""
PAUSE_MIN_S, PAUSE_MAX_S = 0.1, 2.0
TIMEOUT = httpx.Timeout(20.0, connect=5.0)
"""Of one try."""
BROKEN = (httpx.TransportError, APITimeoutError, OSError)
"""What a connection may end with."""
_NO_CREDENTIALS = (OSError, RuntimeError, ValueError, KeyError, TypeError, subprocess.SubprocessError)
"""What kr8s raises where a plugin fails, or a field of a kubeconfig is not what it should be."""

# One line for each request is no news to a user.
logging.getLogger("httpx").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Transport:
    """How to reach the API server by other means than its requests."""

    server: str
    """`https://host:port`, with a path where a gateway needs one."""
    headers: Mapping[str, str] = field(repr=False)
    tls: ssl.SSLContext | None
    """None for plain HTTP."""
    tls_server_name: str | None
    proxy: Proxy | None


class _DirectedApi(Api):
    """Goes through the proxy that it is told: httpx would look into the environment by rules of its own."""

    def __init__(self, access: Access) -> None:
        super().__init__(bypass_factory=True, kubeconfig=access.config, namespace=access.namespace)
        self._proxy = access.proxy
        self.timeout = TIMEOUT

    async def _create_session(self) -> None:
        context = await self.auth.ssl_context()  # type: ignore[no-untyped-call]
        token = {"Authorization": f"Bearer {self.auth.token}"} if self.auth.token else {}
        self._session = httpx.AsyncClient(
            base_url=self.auth.server or "",
            headers=token,
            verify=ssl.create_default_context() if context is True else context,
            timeout=self.timeout,
            follow_redirects=True,
            proxy=self._proxy.url if self._proxy else None,
            trust_env=False,
        )


class Session:
    """As one user. Methods raise ClusterError."""

    def __init__(self, kubeconfig: Path | None, context: str | None, private_dir: Path) -> None:
        self._asked = (kubeconfig, context)
        self._private_dir = private_dir
        self._apis: list[Api] = []
        """The last one is used; those before it may still have requests in flight."""
        self._logins = asyncio.Lock()
        self.access: Access

    async def transport(self) -> Transport:
        """For who opens connections of his own."""
        auth = self._apis[-1].auth
        context = await auth.ssl_context()  # type: ignore[no-untyped-call]
        tls = ssl.create_default_context() if context is True else context
        return Transport(
            server=self.access.server,
            headers=self._headers() | ({"Authorization": f"Bearer {auth.token}"} if auth.token else {}),
            tls=tls if self.access.server.startswith("https:") else None,
            tls_server_name=auth.tls_server_name,
            proxy=self.access.proxy,
        )

    async def get(
        self, path: str, request: Request, params: Mapping[str, str] | None = None, patience_s: float = PATIENCE_S
    ) -> dict[str, Any]:
        response = await self.send("GET", path, request, params=params, patience_s=patience_s)
        return _object(response, request)

    async def json(
        self,
        method: str,
        path: str,
        request: Request,
        *,
        body: Mapping[str, Any],
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        response = await self.send(method, path, request, body=body, content_type=content_type, patience_s=PATIENCE_S)
        return _object(response, request)

    async def send(
        self,
        method: str,
        path: str,
        request: Request,
        *,
        patience_s: float,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> httpx.Response:
        """The answer of one that was granted, however often it took."""
        deadline_s = time.monotonic() + patience_s
        pause_s, failed, logged_in = PAUSE_MIN_S, False, False
        while True:
            api = self._apis[-1]
            headers = {**self._headers(), "Content-Type": content_type}
            try:
                async with _call(api, method, path, headers, params=params, json=body) as response:
                    if response.is_success:
                        return response
                    failure = refusal(request, response.status_code, _status(response), self.access.server)
                    again = is_transient(response.status_code, str(_status(response).get("message", "")))
                    denied = response.status_code
            except BROKEN as error:
                failure, denied = unreachable(self.access.server, error, self.access.proxy), 0
                again = "CERTIFICATE_VERIFY" not in str(error)
            if denied == 401 and not logged_in:
                logged_in = True
                await self.log_in(api)
                continue
            failed = failed or again
            again = again or (failed and denied in (401, 403))
            if not again or time.monotonic() + pause_s > deadline_s:
                raise failure
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, request: Request, params: Mapping[str, str], read_s: float | None
    ) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of an answer without an end. One try."""
        timeout = httpx.Timeout(20.0, connect=5.0, read=read_s)
        api = self._apis[-1]
        async with _call(api, "GET", path, self._headers(), stream=True, params=params, timeout=timeout) as response:
            if not response.is_success:
                await response.aread()
                if response.status_code == 401:
                    await self.log_in(api)
                raise refusal(request, response.status_code, _status(response), self.access.server)
            yield response.aiter_lines()

    def _headers(self) -> dict[str, str]:
        return dict(self.access.headers)

    async def log_in(self, refused: Api | None = None) -> None:
        """Reads the kubeconfig anew and asks its plugin, unless somebody else has since `refused` was."""
        async with self._logins:
            if refused is not None and self._apis[-1] is not refused:
                return
            self.access = read_access(*self._asked, os.environ, self._private_dir)
            api = _DirectedApi(self.access)
            try:
                await api.auth
            except _NO_CREDENTIALS as error:
                told = self.access.context, self.access.plugin, self.access.install_hint
                raise credentials_failed(*told, error) from error
            self._apis.append(api)

    async def close(self) -> None:
        for api in self._apis:
            if api._session is not None:  # kr8s has no way of its own to close one
                with contextlib.suppress(*BROKEN, RuntimeError):
                    await api._session.aclose()
            for path in (api.auth.client_key_file, api.auth.client_cert_file):
                # What a plugin gave, kr8s has written to the temporary directory and left there.
                if path is not None and Path(path).parent == Path(tempfile.gettempdir()) and self.access.plugin:
                    Path(path).unlink(missing_ok=True)


def _call(
    api: Api, method: str, path: str, headers: Mapping[str, str], **more: Any
) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
    # kr8s joins what it is given by a slash; a path of one part is therefore given as it is, and ends in one.
    base, _, last = path.rpartition("/")
    base, last = (base, last) if base else (path, "")
    return api.call_api(method, version="", base=base, url=last, raise_for_status=False, headers=headers, **more)


def _status(response: httpx.Response) -> dict[str, Any]:
    """The Status object of a refusal; a gateway in front of the server may answer anything."""
    try:
        body = response.json()
    except ValueError:
        return {"message": response.text.strip()[:300]} if response.text.strip() else {}
    return body if isinstance(body, dict) else {}


def _object(response: httpx.Response, request: Request) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        what = f"what answered is no Kubernetes API: {request} gave {response.text.strip()[:100]!r}"
        raise ClusterError(what, "Is the server's address in the kubeconfig right? A gateway may want a login.")
    return body
