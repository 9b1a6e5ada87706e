"""What the API says, in plain words."""

import asyncio
import ssl

import pytest

from aiperf.deploy.kubernetes.refusals import Request, credentials_failed, is_transient, refusal, unreachable

SERVER = "https://cluster:6443"
CREATE = Request("create", "jobs", "perf", "run")


def words(status: int, reason: str, message: str, request: Request = CREATE) -> tuple[str, str, str]:
    error = refusal(request, status, {"reason": reason, "message": message}, SERVER)
    return error.what, error.hint, error.reason


def test_a_missing_right_names_verb_resource_namespace_and_the_page():
    message = 'jobs.batch is forbidden: User "jane" cannot create resource "jobs" in API group "batch"'
    what, hint, reason = words(403, "Forbidden", message)
    assert what == "you may not create jobs run in namespace perf"
    assert "docs/kubernetes-rights.md" in hint
    assert reason == "Forbidden"


def test_a_full_quota_tells_its_figures():
    message = 'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=10, limited: pods=10'
    what, hint, _ = words(403, "Forbidden", message)
    assert what == "the quota of namespace perf is used up: team, requested: pods=1, used: pods=10, limited: pods=10"
    assert "another namespace" in hint


def test_a_namespace_that_is_missing_or_going_is_told_as_that():
    assert words(404, "NotFound", 'namespaces "perf" not found')[0] == "there is no namespace perf"
    message = "unable to create new content in namespace perf because it is being terminated"
    going = words(403, "Forbidden", f'configmaps "x" is forbidden: {message}')
    assert going[0] == "namespace perf is being deleted"


def test_an_object_that_is_missing_is_named():
    request = Request("get", "pods/portforward", "perf")
    assert words(404, "NotFound", 'pods "w-1" not found', request)[0] == "there is no pod w-1 in namespace perf"


def test_expired_credentials_ask_for_a_login():
    what, hint, reason = words(401, "Unauthorized", "Unauthorized")
    assert "does not accept the kubeconfig's credentials" in what
    assert "Log in" in hint
    assert reason == "Unauthorized"


def test_somebody_elses_object_is_not_taken():
    assert "exists already, and is not of this run" in words(409, "AlreadyExists", 'jobs.batch "run" already exists')[0]


def test_an_answer_without_a_status_object_is_told_by_its_number():
    error = refusal(CREATE, 418, {}, SERVER)
    assert error.what == "the cluster refused to create jobs run in namespace perf: HTTP status 418"


@pytest.mark.parametrize(
    ("status", "message", "transient"),
    [
        (503, "", True),
        (429, "too many", True),
        (500, "etcdserver: leader changed", True),
        (500, "failed calling webhook: denied", False),
        (403, "", False),
        (409, "", False),
    ],
)
def test_only_what_passes_is_tried_again(status: int, message: str, transient: bool):
    assert is_transient(status, message) is transient


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "nothing listens at the cluster's address"),
        (OSError("[Errno -2] Name or service not known"), "cannot be resolved"),
        (
            ssl.SSLCertVerificationError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed"),
            "is not trusted: self-signed",
        ),
        (TimeoutError("timed out"), "cannot be reached: timed out"),
    ],
)
def test_a_cluster_that_is_not_reached_tells_why(error: Exception, what: str):
    outer = RuntimeError("All is lost")
    outer.__cause__ = error
    assert what in unreachable(SERVER, error).what
    assert SERVER in unreachable(SERVER, outer).what


def test_a_token_that_no_header_may_hold_is_not_shown():
    outer = RuntimeError("it failed")
    outer.__cause__ = ValueError(r"Illegal header value b'Bearer secret\nrest'")
    error = unreachable(SERVER, outer)
    assert "token" in error.what
    assert "secret" not in f"{error.what}{error.hint}"


def test_certificates_that_are_none_are_not_taken_for_a_cluster_that_is_away():
    for text in ("[X509: NO_CERTIFICATE_OR_CRL_FOUND] no certificate or crl found", "[SSL] PEM lib (_ssl.c:3905)"):
        assert "certificates or keys that the kubeconfig has" in unreachable(SERVER, ssl.SSLError(1, text)).what


def test_what_ended_a_wait_is_told_without_the_names_of_its_machinery():
    outer = RuntimeError("Timeout")
    outer.__cause__ = asyncio.CancelledError("Cancelled via cancel scope 7f80")
    assert unreachable(SERVER, outer).what.endswith(": Timeout")


def test_a_server_without_a_version_is_no_cluster():
    error = refusal(Request("get", "version"), 404, {"message": "nothing here"}, SERVER)
    assert error.what == f"what answers at {SERVER} is no Kubernetes API: it knows no /version"


def test_a_missing_plugin_shows_how_to_install_it():
    error = credentials_failed("prod", "kubelogin", "brew install kubelogin", FileNotFoundError("kubelogin"))
    assert "gets its credentials from kubelogin, which is not installed" in error.what
    assert error.hint == "brew install kubelogin"


def test_a_plugin_that_fails_is_quoted():
    assert "no login" in credentials_failed("prod", "kubelogin", "", RuntimeError("no login")).what
