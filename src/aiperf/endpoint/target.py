"""Whom requests go to: one URL taken apart.

Owns: host, port, path, the `Host` header, whether and how TLS is spoken. Does not own: which forms of a URL a user may
write (`aiperf.plan.values`), name resolution (`resolver`). Proxy settings of the environment are not followed: a proxy
on the way would be measured in place of the service.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from aiperf.endpoint.tls import client_context
from aiperf.errors import PlanError, Problem

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """One service to be measured."""

    host: str
    """As connected to and as checked against the certificate; ASCII, an IPv6 address without brackets."""
    port: int
    path: str
    """What the request line names."""
    host_header: str
    tls: ssl.SSLContext | None
    """None: plaintext."""

    @property
    def where(self) -> str:
        """`host:port`, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def from_url(cls, url: str, path: str = "", *, ca_file: Path | None = None, insecure: bool = False) -> "Target":
        """The target at `path` under the base `url`; what both have in common is not repeated (`…/v1` + `/v1/chat`).

        Raises: PlanError if the URL is none of http or https, or `ca_file` is of no use.
        """
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise PlanError(Problem(f"{url!r} is not a URL of HTTP", "--url", "Write it as http://host:port."))
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
        bracketed = f"[{host}]" if ":" in host else host
        return cls(
            host=host,
            port=port,
            path=_joined(parts.path, path),
            host_header=bracketed if port == _DEFAULT_PORTS[parts.scheme] else f"{bracketed}:{port}",
            tls=client_context(ca_file, insecure=insecure) if parts.scheme == "https" else None,
        )


def _joined(base: str, path: str) -> str:
    """`base` and then `path`, where the longest end of `base` that `path` begins with is taken once."""
    base = base.rstrip("/")
    segments = base.split("/")
    for count in range(len(segments) - 1, 0, -1):
        end = "/" + "/".join(segments[-count:])
        if path == end or path.startswith(end + "/"):
            return base.removesuffix(end) + path
    return base + path or "/"
