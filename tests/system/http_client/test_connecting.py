"""Where connections come from and how they fail: failures provoked for real, in a network of its own where needed."""

import resource
import shutil
import socket
import subprocess
import time
from collections import Counter
from contextlib import closing

import pytest
from tests.networks import own_network
from tests.ports import dead_port, free_port

from aiperf.endpoint.exchange import ErrorKind, Outcome
from aiperf.endpoint.local_ports import PortShare
from aiperf.endpoint.resolver import Address


def answer_all(peer):
    while peer.request():
        peer.answer()


class Listener:
    """Listens on a port that connections do not come from, keeps every connection and never answers."""

    def __init__(self, host: str = "127.0.0.1", *, backlog: int = 100, port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port or free_port()), family=family, backlog=backlog)
        self._listener.setblocking(False)
        self._kept: list[socket.socket] = []
        port = self._listener.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def local_ends(self) -> list[tuple[str, int]]:
        """Where the connections made until now come from."""
        while True:
            try:
                self._kept.append(self._listener.accept()[0])
            except BlockingIOError:
                return [kept.getpeername()[:2] for kept in self._kept]

    def close(self) -> None:
        for sock in (self._listener, *self._kept):
            sock.close()


@pytest.fixture
def listen(stack):
    return lambda *host, **kind: stack.enter_context(closing(Listener(*host, **kind)))


def sent(at, count):
    """So many exchanges, once each of them is sent or has failed."""
    exchanges = [at.submit() for _ in range(count)]
    at.run_until(lambda: all(exchange.sent_ns >= 0 or exchange.end_ns >= 0 for exchange in exchanges))
    return exchanges


def errors(exchanges):
    return Counter(exchange.error_kind for exchange in exchanges if exchange.outcome == Outcome.FAILED)


def test_no_local_port_left_is_this_sides_failure(listen, bench, stack):
    stack.enter_context(own_network(ip_local_port_range="40000 40003"))
    server = listen()
    exchanges = sent(bench(server.url), 6)
    assert sorted(port for _, port in server.local_ends()) == [40000, 40001, 40002, 40003]
    assert errors(exchanges) == {ErrorKind.CLIENT_RESOURCE: 2}
    assert "no local port is left on this side" in exchanges[-1].error_text


@pytest.mark.parametrize("windows", [True, False], ids=["windows", "no windows"])
def test_each_source_address_brings_its_own_ports(listen, bench, stack, monkeypatch, windows):
    """Also where the kernel cannot be told which ports to search."""
    if not windows:
        monkeypatch.setattr("aiperf.endpoint.local_end._kernel_knows_windows", lambda: False)
    stack.enter_context(own_network(ip_local_port_range="40000 40003"))
    server = listen()
    at = bench(server.url, source_addresses=("127.0.0.2", "127.0.0.3", "127.0.0.9"))
    assert errors(sent(at, 12)) == {}
    assert sorted(server.local_ends()) == [
        (f"127.0.0.{host}", port) for host in (2, 3, 9) for port in range(40000, 40004)
    ]
    assert errors(sent(at, 1)) == {ErrorKind.CLIENT_RESOURCE: 1}


def test_a_port_serves_each_address_of_the_service(listen, bench, stack):
    stack.enter_context(own_network(ip_local_port_range="40000 40003"))
    servers = [listen(), listen("127.0.0.2")]
    at = bench(*(server.url for server in servers), source_addresses=("127.0.0.5",))
    for url_index in (0, 1) * 4:
        at.submit(url_index=url_index)
    at.run_until(lambda: at.client.open_connection_count == 8)
    for server in servers:
        assert sorted(server.local_ends()) == [("127.0.0.5", port) for port in range(40000, 40004)]


def test_an_address_without_a_port_left_gives_way_to_the_next_one(listen, bench, stack):
    stack.enter_context(own_network(ip_local_port_range="40000 40003"))
    servers = [listen(host, port=20_000) for host in ("127.0.0.1", "::1")]
    at = bench("http://127.0.0.1:20000")
    at.client._pools[0].addresses.append(Address(socket.AF_INET6, ("::1", 20_000, 0, 0)))  # as of a name that has both
    assert errors(sent(at, 9)) == {ErrorKind.CLIENT_RESOURCE: 1}
    assert [len(server.local_ends()) for server in servers] == [4, 4]


def test_workers_have_ports_of_their_own_and_take_others_only_in_need(listen, bench, stack):
    stack.enter_context(own_network(ip_local_port_range="40000 40007"))
    server = listen()
    first, second = (bench(server.url, port_share=PortShare(index, 2)) for index in range(2))
    assert errors(sent(first, 4)) == {}
    assert sorted(port for _, port in server.local_ends()) == list(range(40000, 40004))
    assert errors(sent(second, 3)) == {}
    assert {port for _, port in server.local_ends()[4:]} < set(range(40004, 40008))
    assert errors(sent(first, 1)) == {}
    assert sorted(port for _, port in server.local_ends()) == list(range(40000, 40008))
    assert errors(sent(first, 1)) == errors(sent(second, 1)) == {ErrorKind.CLIENT_RESOURCE: 1}


def test_all_ports_can_be_used_through_windows(listen, bench, stack):
    stack.enter_context(own_network(ip_local_port_range="40000 41023"))  # four windows
    server = listen(backlog=2000)
    at = bench(server.url)
    assert errors(sent(at, 1024)) == {}
    assert sorted(port for _, port in server.local_ends()) == list(range(40000, 41024))
    assert errors(sent(at, 1)) == {ErrorKind.CLIENT_RESOURCE: 1}


def test_source_addresses_take_turns(listen, bench):
    server = listen()
    at = bench(server.url, source_addresses=tuple(f"127.0.5.{n}" for n in range(1, 6)))
    sent(at, 20)
    assert Counter(host for host, _ in server.local_ends()) == {f"127.0.5.{n}": 4 for n in range(1, 6)}


def test_source_addresses_may_be_of_either_family(listen, bench):
    four, six = listen(), listen("::1")
    at = bench(four.url, six.url, source_addresses=("127.0.0.7", "::1"))
    for url_index in (0, 1):
        at.submit(url_index=url_index)
    at.run_until(lambda: at.client.open_connection_count == 2)
    assert [host for host, _ in four.local_ends()] == ["127.0.0.7"]
    assert [host for host, _ in six.local_ends()] == ["::1"]


def test_no_connection_leaves_from_an_address_that_was_not_given(listen, bench):
    server = listen("::1")
    at = bench(server.url, source_addresses=("127.0.0.7",))
    (exchange,) = sent(at, 1)
    assert exchange.error_kind == ErrorKind.CONNECT_OTHER
    assert "--source-address" in exchange.error_text
    assert server.local_ends() == []


@pytest.mark.parametrize("sources", [(), ("127.0.0.1",)], ids=["chosen", "given"])
def test_a_connection_to_itself_is_a_refused_one(bench, stack, sources):
    """The one port that connections may come from is the one they go to, and nothing listens there."""
    stack.enter_context(own_network(ip_local_port_range="40000 40000"))
    with socket.socket() as caller:  # what happens without us: it reaches itself
        caller.connect(("127.0.0.1", 40000))
        assert caller.getsockname() == caller.getpeername()
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    at = bench("http://127.0.0.1:40000", source_addresses=sources)
    for _ in range(3):  # and leaves nothing behind that would be in the next one's way
        exchange = at.fetch()
        assert (exchange.outcome, exchange.error_kind) == (Outcome.FAILED, ErrorKind.CONNECT_REFUSED)
        assert "nothing listens there" in exchange.error_text


def test_targets_share_the_pace(listen, bench):
    """The first one's requests come first, and do not keep the second one's waiting until they are all connected."""
    first, second = listen(), listen()
    at = bench(first.url, second.url, connects_per_s=100)
    for url_index in (0,) * 60 + (1,) * 60:
        at.submit(url_index=url_index)
    at.run_until(lambda: at.client.open_connection_count >= 40)
    assert len(first.local_ends()) >= 12
    assert len(second.local_ends()) >= 10


def test_nothing_listens(bench):
    with dead_port() as port:
        exchange = bench(f"http://127.0.0.1:{port}").fetch()
    assert exchange.error_kind == ErrorKind.CONNECT_REFUSED


def test_a_full_accept_queue_is_a_timeout_that_names_it_and_is_not_hammered(listen, bench):
    server = listen(backlog=2)
    at = bench(server.url, connect_timeout_s=0.6)
    exchanges = [at.submit() for _ in range(12)]
    at.run_until(lambda: all(exchange.sent_ns >= 0 or exchange.end_ns >= 0 for exchange in exchanges))
    late = [exchange for exchange in exchanges if exchange.error_kind == ErrorKind.CONNECT_TIMEOUT]
    assert late, "the queue holds three"
    assert errors(exchanges) == {ErrorKind.CONNECT_TIMEOUT: len(late)}
    assert all("accept queue is full" in exchange.error_text for exchange in late)
    assert at.client.counters.connect_failure_count == len(late), "one attempt each"


def test_a_client_that_was_too_busy_to_look_is_no_timeout(serve, bench):
    """The answer to the connect came in time; this side's lateness is not the service's."""
    at = bench(serve(answer_all).url, connect_timeout_s=0.2)
    exchange = at.submit()
    time.sleep(0.3)
    at.client.tick()
    at.run_until(lambda: exchange.end_ns >= 0)
    assert exchange.outcome == Outcome.COMPLETED


def test_a_refusal_that_was_not_looked_at_is_no_timeout_either(bench):
    with dead_port() as port:
        at = bench(f"http://127.0.0.1:{port}", connect_timeout_s=0.2)
        exchange = at.submit()
        time.sleep(0.3)
        at.client.tick()
        at.run_until(lambda: exchange.end_ns >= 0)
    assert exchange.error_kind == ErrorKind.CONNECT_REFUSED


def test_no_descriptor_left_is_this_sides_failure(serve, bench):
    server = serve(answer_all)
    at = bench(server.url)
    assert at.fetch().outcome == Outcome.COMPLETED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest_free:
        limit = lowest_free.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        kept, failed = at.submit(), at.submit()  # one has the open connection, the other would need a new one
        at.run_until(lambda: failed.end_ns >= 0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert failed.error_kind == ErrorKind.CLIENT_RESOURCE
    assert f"the limit is {limit} for each process" in failed.error_text
    at.run_until(lambda: kept.end_ns >= 0)
    assert kept.outcome == Outcome.COMPLETED
    assert at.fetch().outcome == Outcome.COMPLETED, "and it mends itself"


@pytest.mark.parametrize(
    ("route", "kind", "told"),
    [
        (None, ErrorKind.CONNECT_OTHER, "no way to 10.9.9.9:80"),
        ("unreachable", ErrorKind.CONNECT_OTHER, "no way to 10.9.9.9:80"),
        ("prohibit", ErrorKind.CLIENT_RESOURCE, "firewall or security policy"),
    ],
)
def test_without_a_way_it_says_so(bench, stack, route, kind, told):
    stack.enter_context(own_network())
    if route is not None:
        if shutil.which("ip") is None:
            pytest.skip("routes are made with iproute2")
        subprocess.run(["ip", "route", "add", route, "10.9.9.0/24"], check=True)
    exchange = bench("http://10.9.9.9:80").fetch()
    assert exchange.error_kind == kind
    assert told in exchange.error_text


def test_missing_ipv6_is_no_lack_of_ports(bench, stack):
    stack.enter_context(own_network(**{"../ipv6/conf/all/disable_ipv6": "1"}))
    exchange = bench("http://[::1]:80").fetch()
    assert exchange.error_kind == ErrorKind.CONNECT_OTHER
    assert "no way to [::1]:80" in exchange.error_text
