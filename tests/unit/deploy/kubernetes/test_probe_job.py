"""The look from inside a cluster: what is made for it, what runs in it, what its report means."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from aiperf.deploy.kubernetes import endpoint_probe
from aiperf.deploy.kubernetes.endpoint_probe import Finding, probe, read_report, report
from aiperf.deploy.kubernetes.pod_state import PodState
from aiperf.deploy.kubernetes.probe_job import judge, judge_end, probe_job

ENDED = PodState("p", "probe", None, "Succeeded", False, ended="finished", exit_code=0, node="n1")


@pytest.fixture
def server() -> Iterator[int]:
    """Answers one connection with status 401."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(5)


def test_any_status_is_an_answer(server: int):
    finding = probe(f"http://127.0.0.1:{server}")
    assert (finding.failed, finding.status, finding.addresses) == (None, 401, ("127.0.0.1",))


def test_the_step_that_fails_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert probe(f"http://127.0.0.1:{port}", patience_s=0).failed == "connection"
    assert probe("http://no-such-host.invalid", patience_s=0).failed == "name"


def test_what_does_not_speak_tls_fails_there(server: int):
    assert probe(f"https://127.0.0.1:{server}", insecure=True, patience_s=0).failed == "tls"


def test_the_command_writes_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(endpoint_probe, "PATIENCE_S", 0)
    assert endpoint_probe.run(["--url", "http://no-such-host.invalid", "--report", str(tmp_path / "r")]) == 0
    assert (tmp_path / "r").read_text() == capsys.readouterr().out.strip()
    (finding,) = read_report((tmp_path / "r").read_text())
    assert finding.failed == "name"


def test_a_report_comes_back_as_it_was():
    findings = [Finding("http://a", "a", 80, ("10.0.0.1",), status=200), Finding("http://b", "b", 80, failed="name")]
    assert read_report(report(findings)) == findings
    assert len(report([Finding("http://a", "a", 80, error="x" * endpoint_probe.ERROR_MAX)])) < 4096
    for text in ("", "{}", json.dumps([1]), "usage: aiperf"):
        with pytest.raises(ValueError, match=r".*"):
            read_report(text)


def test_the_job_is_a_restricted_pod_of_the_workers_image_and_place(draft: Any):
    blueprint = draft("--node-selector", "pool=load", "--insecure", ca_pem="PEM", cpu_limits_demanded=True)
    job = probe_job(blueprint)
    kubernetes_validate.validate(job, "1.35", strict=True)
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["nodeSelector"] == {"pool": "load"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["command"][3:] == [
        "--report",
        "/dev/termination-log",
        "--url",
        "http://llm.serving:8000",
        "--insecure",
    ]
    assert container["env"] == [{"name": "AIPERF_PROBE_CA", "value": "PEM"}]
    assert container["resources"]["limits"]["cpu"] == "500m"
    assert "volumes" not in spec


def test_findings_become_checks_of_names_and_endpoints():
    findings = [
        Finding("http://a:80", "a", 80, ("10.0.0.1",), status=404),
        Finding("http://b:80", "b", 80, failed="name", error="gaierror"),
        Finding("http://c:80", "c", 80, ("10.0.0.3",), "connection", "timed out"),
        Finding("https://d", "d", 443, ("10.0.0.4",), "tls", "self-signed"),
        Finding("http://e", "e", 80, ("10.0.0.5",), "answer", "reset"),
    ]
    told = [(check.name, check.ok, check.what) for check in judge(findings)]
    assert told == [
        ("names", False, "b does not resolve in a pod: gaierror"),
        ("names", True, "names resolve in pods: a is 10.0.0.1, c is 10.0.0.3, d is 10.0.0.4, e is 10.0.0.5"),
        ("endpoint", True, "http://a:80 answers from a pod (HTTP 404)"),
        ("endpoint", False, "http://c:80 cannot be connected to from a pod: timed out"),
        ("endpoint", False, "https://d does not pass the check of its certificate in a pod: self-signed"),
        ("endpoint", False, "http://e takes connections from a pod and does not answer: reset"),
    ]
    assert all(check.hint for check in judge(findings) if not check.ok)


def test_an_image_that_is_not_ours_is_told_as_that():
    (check,) = judge_end(ENDED, "sh: aiperf: not found")
    assert check.ok is False
    assert "--image" in check.hint


def test_an_image_that_runs_is_a_check_of_its_own():
    checks = judge_end(ENDED, report([Finding("http://a", "a", 80, ("10.0.0.1",), status=200)]))
    assert [(check.name, check.ok) for check in checks] == [("image", True), ("names", True), ("endpoint", True)]
    assert checks[0].what == "node n1 has the image, and it runs"
