"""The proxy on the way to a cluster: who decides, and how its failures are told."""

import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.proxy import proxy_of
from aiperf.deploy.kubernetes.reach import Entrance, _through_proxy
from aiperf.errors import ClusterError

from .api_double import ApiDouble

SERVER = "https://10.1.2.3:6443"
NAMED = "https://api.cluster.example.com"


@pytest.mark.parametrize(
    ("server", "environment", "url"),
    [
        (SERVER, {}, None),
        (SERVER, {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        (SERVER, {"https_proxy": "p:3128"}, "http://p:3128"),
        (SERVER, {"HTTP_PROXY": "http://p:3128", "ALL_PROXY": "http://p:3128"}, None),
        ("http://10.1.2.3", {"HTTP_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://localhost:6443", {"HTTPS_PROXY": "http://p:3128"}, None),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": "http://p:3128"}, None),
        ("https://[::1]:6443", {"HTTPS_PROXY": "http://p:3128"}, None),
    ],
)
def test_the_environment_is_heard_as_kubectl_hears_it(server: str, environment: dict[str, str], url: str | None):
    found = proxy_of(server, "", environment)
    assert (found.url if found else None) == url


@pytest.mark.parametrize(
    ("server", "no_proxy", "goes_without"),
    [
        (SERVER, "*", True),
        (SERVER, "a, 10.1.2.3", True),
        (SERVER, "10.0.0.0/8", True),
        (SERVER, "192.168.0.0/16", False),
        (SERVER, "10.1.2.3:6443", True),
        (SERVER, "10.1.2.3:443", False),
        ("https://[fd00::1]:6443", "fd00::/8", True),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", True),
        (NAMED, "example.com", True),
        (NAMED, ".example.com", True),
        (NAMED, "*.example.com", True),
        (NAMED, "API.cluster.example.com", True),
        (NAMED, "ample.com", False),
        (NAMED, ".api.cluster.example.com", False),
        (NAMED, "10.0.0.0/8", False),
        (NAMED, "no/network", False),
    ],
)
def test_no_proxy_names_addresses_networks_and_domains(server: str, no_proxy: str, goes_without: bool):
    found = proxy_of(server, "", {"HTTPS_PROXY": "http://p:3128", "no_proxy": no_proxy})
    assert (found is None) is goes_without


def test_the_kubeconfigs_proxy_outweighs_the_environment():
    found = proxy_of(SERVER, "http://own:1", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "*"})
    assert found is not None
    assert str(found) == "http://own:1 (the kubeconfig's proxy-url)"


def test_a_proxys_password_is_never_shown():
    found = proxy_of(SERVER, "", {"HTTPS_PROXY": "http://jane:hush@p:3128"})
    assert str(found) == "http://p:3128 (HTTPS_PROXY)"
    assert "hush" not in repr(found)


@pytest.mark.parametrize(("value", "words"), [("socks5://p:1080", "speaks socks5"), ("http://p:port", "no address")])
def test_a_proxy_that_cannot_be_used_is_told_at_once(value: str, words: str):
    with pytest.raises(ClusterError, match=words):
        proxy_of(SERVER, "", {"HTTPS_PROXY": value})


def kubeconfig(path: Path, server: str) -> Path:
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def dead_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


async def test_a_dead_proxy_is_named_and_not_the_cluster(
    tmp_path: Path, dead_port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{dead_port}")
    monkeypatch.setattr("aiperf.deploy.kubernetes.cluster.FIRST_PATIENCE_S", 0.0)
    with pytest.raises(ClusterError) as told:
        async with Cluster.connect(kubeconfig(tmp_path / "config", SERVER)):
            pass
    proxy = f"the proxy http://127.0.0.1:{dead_port} (HTTPS_PROXY), which leads to the cluster at {SERVER}"
    assert told.value.what.startswith(f"{proxy}, cannot be reached")
    assert "NO_PROXY=10.1.2.3" in told.value.hint


async def test_requests_go_through_the_proxy_and_the_way_by_the_api_server_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server = "http://cluster.invalid:6443"
    async with ApiDouble(lambda *_: (200, {})) as double:
        monkeypatch.setenv("HTTP_PROXY", double.url)
        async with Cluster.connect(kubeconfig(tmp_path / "config", server)) as cluster:
            assert await cluster.version() == "v1.36.0"
            entrance = Entrance("perf", "r", "proxy", token="t", certificate_pem="")
            address = await _through_proxy(cluster, entrance, "controller-x")
    assert address.proxy_url == double.url
    assert address.url.startswith(f"{server}/api/v1/namespaces/perf/pods/https:controller-x:")


async def test_no_proxy_is_heard_by_requests(tmp_path: Path, dead_port: int, monkeypatch: pytest.MonkeyPatch):
    async def version(kubeconfig: Path) -> Any:
        async with Cluster.connect(kubeconfig) as cluster:
            return await cluster.version()

    async with ApiDouble(lambda *_: (200, {})) as double:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{dead_port}")
        assert await version(double.kubeconfig(tmp_path / "config")) == "v1.36.0"
