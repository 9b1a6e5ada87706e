"""`aiperf kube probe`: from inside a pod, whether an endpoint can be reached. Called by a Job, not by people.

Owns: the steps (name, connection, TLS, an answer) and their report as one line of JSON. Does not own: the Job and what
users are told (`probe_job`).

No key is sent: whatever status comes back, somebody is there who speaks HTTP.
"""

import argparse
import contextlib
import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from aiperf.endpoint.target import Target
from aiperf.service.model_wait import MODELS_PATH

CA_VARIABLE = "AIPERF_PROBE_CA"
"""PEM of the endpoint's certificate authorities."""
STEP_TIMEOUT_S = 5.0
PATIENCE_S = 10.0
"""A name that was just published, a rule that kube-proxy is about to write: the first try may be too early."""
PAUSE_S = 0.5
ERROR_MAX = 300

Step = Literal["name", "connection", "tls", "answer"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Of one URL."""

    url: str
    host: str
    port: int
    addresses: tuple[str, ...] = ()
    failed: Step | None = None
    """The step that failed; None if the endpoint answers."""
    error: str = ""
    status: int = 0


def probe(url: str, *, insecure: bool = False, ca_pem: str = "", patience_s: float = PATIENCE_S) -> Finding:
    """What happens on the way to the endpoint. Raises: PlanError for what is no URL."""
    deadline_s = time.monotonic() + patience_s
    target = Target.from_url(url, MODELS_PATH)
    tls = _tls(insecure, ca_pem) if target.tls is not None else None
    while True:
        finding = _attempt(url, target, tls)
        # A certificate that is refused now will be so later.
        if finding.failed in (None, "tls") or time.monotonic() + PAUSE_S > deadline_s:
            return finding
        time.sleep(PAUSE_S)


def _tls(insecure: bool, ca_pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca_pem or None)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _attempt(url: str, target: Target, tls: ssl.SSLContext | None) -> Finding:
    step: Step = "name"
    addresses: tuple[str, ...] = ()
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        addresses = tuple(dict.fromkeys(str(each[4][0]) for each in found))
        step = "connection"
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket.create_connection((target.host, target.port), STEP_TIMEOUT_S))
            if tls is not None:
                step = "tls"
                sock = stack.enter_context(tls.wrap_socket(sock, server_hostname=target.host))
            step = "answer"
            status = _status(target, sock)
    except (OSError, http.client.HTTPException) as error:
        text = f"{type(error).__name__}: {error}"[:ERROR_MAX]
        return Finding(url, target.host, target.port, addresses, step, text)
    return Finding(url, target.host, target.port, addresses, status=status)


def _status(target: Target, sock: socket.socket) -> int:
    connection = http.client.HTTPConnection(target.host, target.port, timeout=STEP_TIMEOUT_S)
    connection.sock = sock
    connection.request("GET", target.path, headers={"Host": target.host_header})
    return connection.getresponse().status


def report(findings: Sequence[Finding]) -> str:
    """One line of JSON."""
    return json.dumps({"findings": [asdict(finding) for finding in findings]})


def read_report(text: str) -> list[Finding]:
    """The findings of a report. Raises: ValueError if it is none."""
    try:
        entries = json.loads(text)["findings"]
        return [Finding(**{**entry, "addresses": tuple(entry["addresses"])}) for entry in entries]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no report of a probe: {text[:200]}") from error


def run(argv: Sequence[str]) -> int:
    """Probes every URL and tells; 0 whatever was found."""
    parser = argparse.ArgumentParser(prog="aiperf kube probe", description="Tells whether an endpoint can be reached.")
    parser.add_argument("--url", action="append", required=True)
    parser.add_argument("--insecure", action="store_true", help="do not check certificates")
    parser.add_argument("--report", type=Path, help="also write the report here")
    options = parser.parse_args(argv)
    text = report(list(_findings(options.url, options.insecure)))
    if options.report is not None:
        options.report.write_text(text, encoding="utf-8")
    print(text)
    return 0


def _findings(urls: Sequence[str], insecure: bool) -> Iterator[Finding]:
    for url in urls:
        yield probe(url, insecure=insecure, ca_pem=os.environ.get(CA_VARIABLE, ""), patience_s=PATIENCE_S / len(urls))
