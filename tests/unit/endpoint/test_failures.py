"""Errors in the field's words."""

import errno
import os
import socket
import ssl

import pytest

from aiperf.endpoint import failures
from aiperf.endpoint.exchange import ErrorKind


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        (errno.ECONNREFUSED, ErrorKind.CONNECT_REFUSED, "h:80"),
        (errno.ETIMEDOUT, ErrorKind.CONNECT_TIMEOUT, "h:80"),
        (errno.EHOSTUNREACH, ErrorKind.CONNECT_OTHER, "No route"),
        (errno.ECONNRESET, ErrorKind.CONNECT_OTHER, "dropped"),
        (errno.EMFILE, ErrorKind.CLIENT_RESOURCE, "ulimit -n"),
        (errno.EADDRNOTAVAIL, ErrorKind.CLIENT_RESOURCE, "ip_local_port_range"),
        (errno.ENOMEM, ErrorKind.CLIENT_RESOURCE, "memory"),
    ],
)
def test_connect_errors_are_named(code, kind, told):
    failure = failures.connect_failure(OSError(code, os.strerror(code)), "h:80")
    assert failure.kind == kind
    assert told in failure.text


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ECONNRESET, ErrorKind.RESET),
        (errno.EPIPE, ErrorKind.RESET),
        (errno.ETIMEDOUT, ErrorKind.RESET),
        (errno.ENOBUFS, ErrorKind.CLIENT_RESOURCE),
    ],
)
def test_errors_of_open_connections_are_named(code, kind):
    assert failures.broken_connection(OSError(code, os.strerror(code))).kind == kind


def test_name_failure_names_the_name():
    failure = failures.name_failure(socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "nowhere")
    assert failure.kind == ErrorKind.DNS
    assert "'nowhere'" in failure.text


def test_plaintext_server_is_guessed():
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"
    failure = failures.tls_failure(error, "h:443")
    assert failure.kind == ErrorKind.TLS
    assert "http://" in failure.text


def test_early_close_tells_how_far_it_got():
    assert "without a response" in failures.closed_early(0).text
    assert "7 bytes" in failures.closed_early(7).text


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.EADDRNOTAVAIL, "--source-address"),
        (errno.EADDRINUSE, "--source-address"),
        (errno.ENFILE, "fs.file-max"),
        (errno.ENOBUFS, "tcp_mem"),
        (errno.EACCES, "firewall"),
        (errno.EPERM, "firewall"),
    ],
)
def test_what_this_side_lacks_is_never_the_servers_failure_and_says_what_to_do(code, told):
    failure = failures.connect_failure(OSError(code, os.strerror(code)), "h:80")
    assert failure.kind == ErrorKind.CLIENT_RESOURCE
    assert told in failure.text
    assert "this" in failure.text
    assert "(connecting to h:80)" in failure.text


@pytest.mark.parametrize("code", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EAFNOSUPPORT])
def test_another_address_may_have_a_way(code):
    error = OSError(code, os.strerror(code))
    assert failures.connect_failure(error, "h:80").kind == ErrorKind.CONNECT_OTHER
    assert not failures.is_out_of_supplies(error)


def test_silence_has_more_than_one_reason():
    for failure in (
        failures.connect_timeout("h:80", 30),
        failures.connect_failure(OSError(errno.ETIMEDOUT, "Connection timed out"), "h:80"),
    ):
        assert failure.kind == ErrorKind.CONNECT_TIMEOUT
        for reason in ("accept queue", "somaxconn", "--connect-rate", "firewall", "nf_conntrack_max"):
            assert reason in failure.text
