"""URLs taken apart."""

import pytest

from aiperf.endpoint.target import Target
from aiperf.errors import PlanError


@pytest.mark.parametrize(
    ("url", "path", "host", "port", "host_header", "joined"),
    [
        ("http://localhost:8000", "/v1/chat/completions", "localhost", 8000, "localhost:8000", "/v1/chat/completions"),
        ("http://example.test", "/v1/x", "example.test", 80, "example.test", "/v1/x"),
        ("https://example.test:443/", "/v1/x", "example.test", 443, "example.test", "/v1/x"),
        ("http://[::1]:80/v1", "/v1/x", "::1", 80, "[::1]", "/v1/x"),
        ("http://[fe80::1]:9", "/x", "fe80::1", 9, "[fe80::1]:9", "/x"),
        ("http://h/api/v1", "/v1/chat/completions", "h", 80, "h", "/api/v1/chat/completions"),
        ("http://h/v1/chat/completions", "/v1/chat/completions", "h", 80, "h", "/v1/chat/completions"),
        ("http://h/v1", "/v10/x", "h", 80, "h", "/v1/v10/x"),
        ("http://h", "", "h", 80, "h", "/"),
        ("http://h/base", "", "h", 80, "h", "/base"),
        ("http://bücher.test", "/x", "xn--bcher-kva.test", 80, "xn--bcher-kva.test", "/x"),
    ],
)
def test_url_is_taken_apart(url, path, host, port, host_header, joined):
    target = Target.from_url(url, path)
    assert (target.host, target.port, target.host_header, target.path) == (host, port, host_header, joined)
    assert (target.tls is not None) == url.startswith("https")


def test_targets_share_their_tls_settings():
    assert Target.from_url("https://a").tls is Target.from_url("https://b").tls


@pytest.mark.parametrize("url", ["ftp://h", "localhost:8000", "http://"])
def test_other_urls_are_refused(url):
    with pytest.raises(PlanError):
        Target.from_url(url)


def test_where_can_be_pasted():
    assert Target.from_url("http://[::1]:8000").where == "[::1]:8000"
    assert Target.from_url("http://h").where == "h:80"
