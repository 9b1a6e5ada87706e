"""Through which proxy a cluster is reached: one answer for requests, tunnels and the way through the API server.

Owns: the kubeconfig's setting and the environment's → a proxy, or none. Does not own: connections.

As kubectl does it, so that one `NO_PROXY` serves both. httpx and websockets have rules of their own, neither of which
knows networks (`10.0.0.0/8`); they are told the answer. Source: Go, `golang.org/x/net/http/httpproxy`.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiperf.errors import ClusterError


@dataclass(frozen=True, slots=True)
class Proxy:
    url: str = field(repr=False)
    """It may hold a password."""
    origin: str
    """Who asks for it: `HTTPS_PROXY`, or the kubeconfig."""

    def __str__(self) -> str:
        """For people: without user and password."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''} ({self.origin})"


def proxy_of(server: str, configured: str, environment: Mapping[str, str]) -> Proxy | None:
    """`configured`: the kubeconfig's `proxy-url`, which `NO_PROXY` does not concern. Raises: ClusterError."""
    if configured:
        return _checked(configured, "the kubeconfig's proxy-url")
    server_parts = urlsplit(server)
    name = f"{server_parts.scheme.upper()}_PROXY"
    spelling, value = _any_case(environment, name)
    if not value or _goes_without(
        server_parts.hostname or "", server_parts.port, _any_case(environment, "NO_PROXY")[1]
    ):
        return None
    return _checked(value if "://" in value else f"http://{value}", spelling)


def _any_case(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    return next(
        ((each, environment[each]) for each in (name, name.lower()) if environment.get(each)),
        (name, ""),
    )


def _checked(url: str, origin: str) -> Proxy:
    proxy = Proxy(url, origin)
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ClusterError(f"the proxy that {origin} names is no address", "Write http://HOST:PORT.")
    if parts.scheme not in ("http", "https"):
        what = f"the proxy {proxy} speaks {parts.scheme}, which aiperf does not"
        raise ClusterError(what, "Name one of http, or go without it by NO_PROXY.")
    return proxy


def _goes_without(host: str, port: int | None, no_proxy: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(part.strip().lower(), host, address, port) for part in no_proxy.split(",") if part.strip())


def _matches(
    part: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int | None
) -> bool:
    """Whether an entry of NO_PROXY means this server: `*`, a network, an address or a domain, perhaps with a port."""
    if part == "*":
        return True
    if "/" in part:
        try:
            return address is not None and address in ipaddress.ip_network(part, strict=False)
        except ValueError:
            return False
    name, colon, wanted = part.rpartition(":") if part.count(":") == 1 or "]:" in part else (part, "", "")
    if colon and wanted != str(port):
        return False
    name = name.strip("[]").removeprefix("*")
    if address is not None:
        return name == str(address)
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")
