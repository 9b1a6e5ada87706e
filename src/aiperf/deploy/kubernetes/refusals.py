"""What an API server's refusal means, in plain words with what to do about it.

Owns: status and body of an answer → `ClusterError`; which answers are worth another try; failures of connections and of
credentials → `ClusterError`. Does not own: sending, trying again (`cluster`).
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiperf.deploy.kubernetes.proxy import Proxy
from aiperf.errors import ClusterError

RIGHTS_PAGE = "docs/kubernetes-rights.md"

_TRANSIENT = (429, 502, 503, 504)
_TRANSIENT_500 = re.compile(
    r"etcd|leader|timed? ?out|connection refused|not yet ready|storage is .*initializ", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, to be named when it was refused."""

    verb: str
    resource: str
    """As rules name it: `pods/log`."""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {self.resource}{name}{self.place}"

    @property
    def place(self) -> str:
        return f" in namespace {self.namespace}" if self.namespace else ""


def is_transient(status: int, message: str) -> bool:
    """Whether the same request may succeed a little later: a server that starts, or has too much to do."""
    return status in _TRANSIENT or (status == 500 and bool(_TRANSIENT_500.search(message)))


def refusal(request: Request, status: int, body: Mapping[str, Any], server: str) -> ClusterError:
    """The error that tells why. `body` is the API's Status object, or empty."""
    message = str(body.get("message") or f"HTTP status {status}")
    reason = str(body.get("reason") or "")
    what, hint = _words(request, status, reason, message, server)
    return ClusterError(
        what, hint, reason=reason or {401: "Unauthorized", 403: "Forbidden", 404: "NotFound"}.get(status, "")
    )


def _words(request: Request, status: int, reason: str, message: str, server: str) -> tuple[str, str]:
    if status == 401:
        return (
            f"the cluster at {server} does not accept the kubeconfig's credentials (expired?)",
            "Log in again, as for kubectl: `kubectl auth whoami` tells whether it worked.",
        )
    if status == 403 and "exceeded quota" in message:
        return f"the quota of namespace {request.namespace} is used up: {_quota(message)}", (
            "Ask for less (--worker-memory, --worker-cpu, a lower load), free some of it, or use another namespace."
        )
    if status == 403 and "violates PodSecurity" in message:
        return f"namespace {request.namespace} refuses the pod: {_after(message, 'violates ')}", (
            "aiperf's pods pass the `restricted` level; something (a webhook, a mutated template) changed this one."
        )
    if status == 403 and "is being terminated" in message:
        return f"namespace {request.namespace} is being deleted", "Wait until it is gone, or use another."
    if status == 403 and reason == "Forbidden" and "cannot " not in message:
        return f"the cluster refused to {request}: {message}", ""
    if status == 403:
        return f"you may not {request}", (
            f"Ask whoever runs the cluster for this right; all of them and a ready Role: {RIGHTS_PAGE}."
        )
    if status == 404 and body_is_about_namespace(message):
        return f"there is no namespace {request.namespace}", "Make it, or leave --namespace out."
    if status == 404 and (missing := re.search(r'^(\S+) "([^"]+)" not found', message)):
        return f"there is no {_singular(missing[1])} {missing[2]}{request.place}", ""
    if status == 404 and request.resource == "version":
        return f"what answers at {server} is no Kubernetes API: it knows no /version", (
            "Is the server's address in the kubeconfig right?"
        )
    if status == 404:
        return f"not found: {request.resource} {request.name}{request.place}", ""
    if status == 409 and reason == "AlreadyExists":
        return f"{request.resource} {request.name}{request.place} exists already, and is not of this run", (
            "Remove it, or choose another namespace or run id."
        )
    if status == 409:
        return f"somebody else changed it at the same time: {request}: {message}", "Try again."
    if status == 422:
        return f"the cluster does not accept the object: {request}: {message}", ""
    if is_transient(status, message):
        return f"the cluster at {server} is not answering as it should: {request}: {message}", "Try again later."
    return f"the cluster refused to {request}: {message}", ""


def _singular(plural: str) -> str:
    """`jobs.batch` → `job`."""
    word = plural.partition(".")[0]
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")


def body_is_about_namespace(message: str) -> bool:
    """Whether what is missing is the namespace itself."""
    return bool(re.match(r'namespaces "[^"]*" not found', message))


def _quota(message: str) -> str:
    """`exceeded quota: NAME, requested: …, used: …, limited: …`, as it stands."""
    return _after(message, "exceeded quota: ")


def _after(message: str, mark: str) -> str:
    return message.partition(mark)[2] or message


def unreachable(server: str, error: BaseException, proxy: Proxy | None = None) -> ClusterError:
    """A connection that failed, by its reason. `proxy`: through which it was to go."""
    text = _chain(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        detail = text.partition("certificate verify failed")[2].strip(": ") or text
        return ClusterError(
            f"the certificate of the cluster at {server} is not trusted: {detail}",
            "Is the kubeconfig of this cluster, and as new as it? Fetch it anew from whoever made the cluster.",
        )
    if "Illegal header value" in text:  # the value, which is quoted there, is the token
        return ClusterError("the token for the cluster holds a line break, or what else no token has", "Log in again.")
    if re.search(r"NO_CERTIFICATE_OR_CRL_FOUND|PEM lib|KEY_VALUES_MISMATCH", text):
        what = f"the certificates or keys that the kubeconfig has for {server} cannot be used: {text}"
        return ClusterError(what, "Fetch it anew from whoever made the cluster.")
    if proxy is not None and not re.search(r"ALERT_(BAD_)?CERTIFICATE|CERTIFICATE_REQUIRED", text):
        refused = "Proxy" in type(error).__name__
        said = f"answers: {text}" if refused else f"cannot be reached, or does not answer: {text}"
        hint = f"Is it the right one? NO_PROXY={urlsplit(server).hostname} goes without it."
        if "kubeconfig" in proxy.origin:
            hint = "Is it the right one? It stands in the kubeconfig."
        return ClusterError(f"the proxy {proxy}, which leads to the cluster at {server}, {said}", hint)
    if re.search(r"Name or service not known|nodename nor servname|getaddrinfo|name resolution", text):
        what = f"the cluster's address {server} cannot be resolved"
    elif "refused" in text or "All connection attempts failed" in text:
        what = f"nothing listens at the cluster's address {server}"
    elif "TLSV13_ALERT_CERTIFICATE_REQUIRED" in text or "ALERT_BAD_CERTIFICATE" in text:
        return ClusterError(f"the cluster at {server} does not accept the kubeconfig's certificate: {text}", "Log in.")
    else:
        what = f"the cluster at {server} cannot be reached: {text}"
    return ClusterError(what, "Does it run, and is a VPN or proxy needed? `kubectl version` takes the same way.")


def credentials_failed(context: str, plugin: str, install_hint: str, error: BaseException) -> ClusterError:
    """What went wrong before the first request."""
    if plugin and isinstance(error, FileNotFoundError):
        hint = install_hint or "Install it, and make sure it is on the PATH."
        return ClusterError(f"context '{context}' gets its credentials from {plugin}, which is not installed", hint)
    if plugin:
        text = str(error).strip() or type(error).__name__
        return ClusterError(f"{plugin} gave no credentials for context '{context}': {text}", "Log in again.")
    return ClusterError(f"the credentials of context '{context}' cannot be used: {type(error).__name__}: {error}")


def _chain(error: BaseException) -> str:
    """The texts of an error and its causes: the reason is often at the end."""
    texts: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        if str(seen) and str(seen) not in texts and not isinstance(seen, asyncio.CancelledError):
            texts.append(str(seen))
        seen = seen.__cause__ or seen.__context__
    return "; ".join(texts) or type(error).__name__
