"""The controller's API over real sockets: its own server and client, and a network between them that misbehaves."""

import asyncio
import hashlib
import logging
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aiperf.api import routes_run
from aiperf.api.certificate import RunCertificate, make_certificate
from aiperf.api.client import ApiClient
from aiperf.api.connection import ApiAddress
from aiperf.api.contract import Told, Uploadable
from aiperf.api.failures import ApiRefusedError, ControllerLostError, DamagedTransferError
from aiperf.api.follow import follow
from aiperf.api.parcel import Shelf
from aiperf.api.routes_artifacts import artifact_routes
from aiperf.api.routes_dataset import dataset_routes, upload_routes
from aiperf.api.routes_run import run_routes
from aiperf.api.run_board import RunBoard
from aiperf.api.server import ApiServer, TlsFiles, build_app, listen
from aiperf.api.upload import Upload
from aiperf.report.atomic import write_atomic
from aiperf.wire.messages import Notice, Progress, RunFinished

TOKEN = "token-of-this-run"
FINISHED = RunFinished(0, "completed", "", "/artifacts", "/artifacts/profile_export_aiperf.json")


def progress(completed: int) -> Progress:
    return Progress(
        phase=1,
        state="profiling",
        elapsed_s=1.0,
        sent_count=completed,
        completed_count=completed,
        failed_count=0,
        in_flight_count=0,
        offered_count=completed,
        expected_count=100,
        expected_s=-1,
        request_rate=1.0,
        output_token_rate=1.0,
        statistics={"time_to_first_token": {"avg": 1.5}},
        errors={},
    )


@dataclass
class Controller:
    """Everything of a controller that the API sees."""

    board: RunBoard
    shelf: Shelf
    artifact_dir: Path
    port: int = 0
    certificate: RunCertificate | None = None
    server: ApiServer | None = None
    stops: list[bool] = field(default_factory=list)
    fetched: asyncio.Event = field(default_factory=asyncio.Event)
    uploads: list[Path] = field(default_factory=list)

    def address(self, port: int = 0, token: str = TOKEN) -> ApiAddress:
        scheme = "https" if self.certificate else "http"
        pin = self.certificate.certificate_pem if self.certificate else ""
        return ApiAddress(f"{scheme}://127.0.0.1:{port or self.port}", token, pin)

    def end(self) -> None:
        self.shelf.stock_folder(self.artifact_dir)
        self.board.tell(FINISHED)


@asynccontextmanager
async def serving(tmp_path: Path, certificate: RunCertificate | None = None) -> AsyncIterator[Controller]:
    data_dir, artifact_dir = tmp_path / "data", tmp_path / "served"
    artifact_dir.mkdir()
    controller = Controller(
        RunBoard("run-1", {"load": {"concurrency": 3}}), Shelf(data_dir), artifact_dir, certificate=certificate
    )
    tls = None
    if certificate:
        tls = TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
        tls.certificate.write_text(certificate.certificate_pem)
        tls.key.write_text(certificate.key_pem)
    routes = [
        *run_routes(controller.board, controller.stops.append),
        *artifact_routes(controller.shelf, is_over=lambda: controller.board.is_over, fetched=controller.fetched.set),
        *upload_routes(Uploadable.INPUT, Upload(data_dir / "input"), controller.shelf, controller.uploads.append),
        *dataset_routes(controller.shelf, tmp_path / "dataset.store", tmp_path / "tokenizer.json"),
    ]
    listener = listen("127.0.0.1", 0, tls=certificate is not None)
    controller.server = ApiServer(build_app(TOKEN, routes), listener, tls)
    controller.port = controller.server.port
    controller.server.start()
    try:
        yield controller
    finally:
        await controller.server.stop()
        controller.shelf.close()


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[Controller]:
    async with serving(tmp_path) as controller:
        yield controller


@dataclass
class Network:
    """Relays to a port, and does to the bytes that come back what a test asks for."""

    port: int
    cut_after: list[int]
    """For each connection in turn: cut it after so many bytes, of either direction."""
    spoil_at: list[int]
    """For each connection in turn: change the byte that comes back at this place."""
    cut_answers_after: list[int]
    """For each connection in turn: cut it after so many bytes that came back."""
    connection_count: int = 0
    moved_bytes: int = 0

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        left = self.cut_after.pop(0) if self.cut_after else 1 << 60
        spoil = self.spoil_at.pop(0) if self.spoil_at else -1
        answers_limit = self.cut_answers_after.pop(0) if self.cut_answers_after else 1 << 60
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)

        async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter, spoil: int, limit: int) -> None:
            nonlocal left
            position = 0
            while position < limit and (data := await source.read(min(65536, max(1, left), limit - position))):
                if position <= spoil < position + len(data):
                    data = data[: spoil - position] + bytes([data[spoil - position] ^ 1]) + data[spoil - position + 1 :]
                position += len(data)
                left -= len(data)
                self.moved_bytes += len(data)
                to.write(data)
                await to.drain()
                if left <= 0:
                    return

        pumps = [
            asyncio.create_task(pump(reader, far_writer, -1, 1 << 60)),
            asyncio.create_task(pump(far_reader, writer, spoil, answers_limit)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        writer.transport.abort()
        far_writer.transport.abort()


MakeNetwork = Callable[..., Awaitable[tuple[Network, int]]]


@pytest.fixture
async def network() -> AsyncIterator[MakeNetwork]:
    """A factory: a relay to a port, with its own port."""
    servers: list[asyncio.Server] = []

    async def make(
        port: int, *, cut_after: list[int] = (), spoil_at: list[int] = (), cut_answers_after: list[int] = ()
    ) -> tuple[Network, int]:
        relay = Network(port, list(cut_after), list(spoil_at), list(cut_answers_after))
        servers.append(await asyncio.start_server(relay.relay, "127.0.0.1", 0))
        return relay, servers[-1].sockets[0].getsockname()[1]

    yield make
    for server in servers:
        server.close()


def incompressible(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def write_results(folder: Path) -> dict[str, bytes]:
    contents = {
        "inputs.json": b'{"data": []}',
        "logs/aiperf.log": b"a line\n" * 1000,
        "profile_export.jsonl": incompressible(1, 3_000_000),
        "empty.txt": b"",
        "profile_export_aiperf.json": b"{}",
    }
    for number, (name, content) in enumerate(contents.items()):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1000 + number, 1000 + number))
    return contents


async def collect(told: AsyncIterator[Told]) -> list[Told]:
    return [message async for message in told]


# Token


@pytest.mark.parametrize("token", ["", "another", TOKEN + "x"])
async def test_a_wrong_token_is_refused_everywhere(controller: Controller, token: str) -> None:
    async with ApiClient(controller.address(token=token)) as client:
        for asked in (client.run_info, client.artifacts, client.confirm_fetched, lambda: collect(client.follow())):
            with pytest.raises(ApiRefusedError, match="X-AIPerf-Token") as refusal:
                await asked()
            assert refusal.value.status == 401


async def test_the_run_is_shown_to_who_knows_the_token(controller: Controller) -> None:
    controller.board.tell(progress(7))
    async with ApiClient(controller.address()) as client:
        run = await client.run_info()
    assert (run.run_id, run.state, run.plan) == ("run-1", "profiling", {"load": {"concurrency": 3}})
    assert run.progress == progress(7)
    assert run.finished is None


async def test_the_token_is_in_no_log_line(
    controller: Controller, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    write_results(controller.artifact_dir)
    controller.end()
    async with ApiClient(controller.address()) as client:
        await collect(client.follow())
        await client.fetch_artifacts(tmp_path / "home")
        await client.stop(now=True)
    async with ApiClient(controller.address(token=TOKEN + "x")) as client:
        with pytest.raises(ApiRefusedError) as refusal:
            await collect(client.follow())
    assert TOKEN not in caplog.text
    assert TOKEN not in str(refusal.value) + repr(controller.address())


# Progress


async def test_every_watcher_is_told_everything_and_the_end_once(controller: Controller) -> None:
    async with ApiClient(controller.address()) as one, ApiClient(controller.address()) as two:
        watching = [asyncio.create_task(collect(client.follow())) for client in (one, two)]
        await asyncio.sleep(0.3)
        for message in (Notice("waiting"), progress(1)):
            controller.board.tell(message)
            await asyncio.sleep(0.1)
        controller.board.tell(FINISHED)
        for told in await asyncio.gather(*watching):
            assert told == [Notice("waiting"), progress(1), FINISHED]


async def test_a_late_watcher_gets_the_notices_the_last_progress_and_the_end(controller: Controller) -> None:
    for message in (Notice("waiting"), progress(1), progress(2), FINISHED):
        controller.board.tell(message)
    async with ApiClient(controller.address()) as client:
        assert await collect(client.follow()) == [Notice("waiting"), progress(2), FINISHED]


async def test_who_comes_back_hears_nothing_twice(controller: Controller, network: MakeNetwork) -> None:
    # Some 400 bytes of handshake each way, then a few hundred to an event.
    relay, port = await network(controller.port, cut_after=[1500] * 5)
    async with ApiClient(controller.address(port)) as client:
        watching = asyncio.create_task(collect(client.follow()))
        for number in range(12):
            controller.board.tell(Notice(f"{number} {incompressible(number, 100).hex()}"))
            await asyncio.sleep(0.1)
        controller.board.tell(FINISHED)
        told = await watching
    assert [message.text.split()[0] for message in told[:-1]] == [str(number) for number in range(12)]
    assert told[-1] == FINISHED
    assert relay.connection_count > 2


async def test_in_silence_a_watcher_knows_that_somebody_is_there(
    controller: Controller, network: MakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_run, "HEARTBEAT_S", 0.1)
    relay, port = await network(controller.port)
    watching = asyncio.create_task(collect(follow(controller.address(port), patience_s=5, word_limit_s=0.6)))
    await asyncio.sleep(1.5)
    controller.board.tell(FINISHED)
    assert await watching == [FINISHED]
    assert relay.connection_count == 1


async def test_a_server_that_is_gone_ends_following_with_a_reason(controller: Controller) -> None:
    controller.board.tell(progress(3))
    async with ApiClient(controller.address(), patience_s=1) as client:
        told = client.follow()
        assert await anext(told) == progress(3)
        await controller.server.stop()
        with pytest.raises(ControllerLostError, match="nothing was heard"):
            await anext(told)


# Orders


async def test_stop_orders_reach_the_run_until_it_is_over(controller: Controller) -> None:
    async with ApiClient(controller.address()) as client:
        await client.stop(now=False)
        await client.stop(now=True)
        controller.board.tell(FINISHED)
        await client.stop(now=True)
    assert controller.stops == [False, True]


# Artifacts


async def test_there_are_no_artifacts_before_the_end(controller: Controller) -> None:
    async with ApiClient(controller.address()) as client:
        with pytest.raises(ApiRefusedError, match="not over"):
            await client.artifacts()
        with pytest.raises(ApiRefusedError, match="not over"):
            await client.confirm_fetched()
    assert not controller.fetched.is_set()


async def test_results_arrive_byte_for_byte_and_the_controller_hears_of_it(
    controller: Controller, tmp_path: Path
) -> None:
    contents = write_results(controller.artifact_dir)
    controller.end()
    home = tmp_path / "home"
    async with ApiClient(controller.address()) as client:
        paths = await client.fetch_artifacts(home)
        await client.confirm_fetched()
    assert [path.relative_to(home).as_posix() for path in paths] == list(contents)  # as written: the summary last
    assert {name: (home / name).read_bytes() for name in contents} == contents
    assert sorted(path for path in home.rglob("*") if path.is_file()) == sorted(paths)
    assert controller.fetched.is_set()


async def test_a_log_that_grows_after_the_end_arrives_as_it_was(controller: Controller, tmp_path: Path) -> None:
    contents = write_results(controller.artifact_dir)
    controller.end()
    async with ApiClient(controller.address()) as client:
        await client.artifacts()
        with (controller.artifact_dir / "logs/aiperf.log").open("ab") as log:
            log.write(b"one more line\n")
        await client.fetch_artifacts(tmp_path)
    assert (tmp_path / "logs/aiperf.log").read_bytes() == contents["logs/aiperf.log"]


async def test_a_cut_transfer_goes_on_in_the_middle(
    controller: Controller, network: MakeNetwork, tmp_path: Path
) -> None:
    contents = write_results(controller.artifact_dir)
    controller.end()
    relay, port = await network(controller.port, cut_after=[700_000] * 3)
    async with ApiClient(controller.address(port), parallel=1) as client:
        await client.fetch_artifacts(tmp_path)
    assert (tmp_path / "profile_export.jsonl").read_bytes() == contents["profile_export.jsonl"]
    assert relay.connection_count == 4
    # Nothing but what lay in buffers at the cuts crossed twice.
    assert relay.moved_bytes < 1.3 * sum(map(len, contents.values()))


async def test_what_arrives_damaged_is_fetched_again(
    controller: Controller, network: MakeNetwork, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contents = write_results(controller.artifact_dir)
    controller.end()
    _, port = await network(controller.port, spoil_at=[1_000_000])
    async with ApiClient(controller.address(port), parallel=1) as client:
        await client.fetch_artifacts(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in contents} == contents
    assert "arrived damaged" in caplog.text


async def test_what_is_always_damaged_is_refused_and_leaves_nothing(controller: Controller, tmp_path: Path) -> None:
    write_results(controller.artifact_dir)
    controller.end()
    home = tmp_path / "home"
    async with ApiClient(controller.address()) as client:
        await client.artifacts()
        packed = max((tmp_path / "data").glob("*.zst"), key=lambda path: path.stat().st_size)
        spoiled = bytearray(packed.read_bytes())
        spoiled[1_000_000] ^= 1
        packed.write_bytes(spoiled)
        with pytest.raises(DamagedTransferError, match="damaged 3 times"):
            await client.fetch_artifacts(home)
    assert not (home / "profile_export_aiperf.json").exists()


async def test_a_second_call_fetches_only_what_the_first_did_not(
    controller: Controller, network: MakeNetwork, tmp_path: Path
) -> None:
    contents = write_results(controller.artifact_dir)
    controller.end()
    (tmp_path / ".aiperf-fetch").mkdir()
    (tmp_path / ".aiperf-fetch/profile_export.jsonl").write_bytes(contents["profile_export.jsonl"])
    relay, port = await network(controller.port)
    async with ApiClient(controller.address(port)) as client:
        await client.fetch_artifacts(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in contents} == contents
    assert relay.moved_bytes < 100_000


@pytest.mark.parametrize("name", ["../secret", "..%2Fsecret", "%2E%2E/secret", "/etc/hostname", "logs/../../secret"])
async def test_no_name_leads_out_of_the_folder(controller: Controller, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    write_results(controller.artifact_dir)
    controller.end()
    answer = await raw_request(controller, f"GET /v1/artifacts/{name} HTTP/1.1")
    assert b" 404 " in answer.split(b"\r\n")[0]
    assert b'"hint"' in answer


async def test_links_are_not_artifacts(controller: Controller, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    write_results(controller.artifact_dir)
    (controller.artifact_dir / "link").symlink_to(tmp_path / "secret")
    (controller.artifact_dir / "folder").symlink_to(tmp_path)
    controller.end()
    async with ApiClient(controller.address()) as client:
        names = [info.name for info in await client.artifacts()]
    assert not [name for name in names if "link" in name or "secret" in name]


async def raw_request(controller: Controller, line: str, *headers: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", controller.port)
    lines = (line, "Host: x", f"X-AIPerf-Token: {TOKEN}", "Connection: close", *headers)
    writer.write("\r\n".join((*lines, "", "")).encode())
    answer = await reader.read()
    writer.close()
    return answer


async def test_ranges_are_of_the_representation_that_was_asked_for(controller: Controller) -> None:
    contents = write_results(controller.artifact_dir)["logs/aiperf.log"]
    controller.end()
    line = "GET /v1/artifacts/logs/aiperf.log HTTP/1.1"
    plain = await raw_request(controller, line, "Range: bytes=3-9")
    assert plain.endswith(b"\r\n\r\n" + contents[3:10])
    assert f"content-range: bytes 3-9/{len(contents)}".encode() in plain.lower()
    packed = await raw_request(controller, line, "Range: bytes=0-3", "Accept-Encoding: gzip, zstd")
    assert packed.endswith(b"\r\n\r\n\x28\xb5\x2f\xfd")  # zstd's magic number
    assert (await raw_request(controller, line, "Range: bytes=999999-")).startswith(b"HTTP/1.1 416")
    changed = await raw_request(controller, line, "Range: bytes=3-9", 'If-Range: "another"')
    assert changed.startswith(b"HTTP/1.1 200")
    assert changed.endswith(contents)


async def test_head_tells_size_and_checksum_without_content(controller: Controller) -> None:
    contents = write_results(controller.artifact_dir)["logs/aiperf.log"]
    controller.end()
    answer = await raw_request(controller, "HEAD /v1/artifacts/logs/aiperf.log HTTP/1.1")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert hashlib.sha256(contents).hexdigest().encode() in head
    assert f"content-length: {len(contents)}".encode() in head.lower()
    assert body == b""


# Dataset


async def test_an_upload_that_is_cut_goes_on_where_it_was(
    controller: Controller, network: MakeNetwork, tmp_path: Path
) -> None:
    content = incompressible(2, 20_000_000)
    (tmp_path / "requests.jsonl").write_bytes(content)
    relay, port = await network(controller.port, cut_after=[12_000_000, 5_000_000])
    async with ApiClient(controller.address(port)) as client:
        sha256 = await client.upload(Uploadable.INPUT, tmp_path / "requests.jsonl")
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert [path.name for path in controller.uploads] == ["requests.jsonl"]
    assert controller.uploads[0].read_bytes() == content
    assert relay.connection_count == 3
    assert relay.moved_bytes < 40_000_000


@pytest.mark.parametrize("answer_bytes", range(20, 500, 60))
async def test_blocks_whose_answer_was_lost_are_not_taken_twice(
    controller: Controller, network: MakeNetwork, tmp_path: Path, answer_bytes: int
) -> None:
    content = incompressible(3, 9_000_000)
    (tmp_path / "a.jsonl").write_bytes(content)
    # Every connection ends within, or between, the answers to the first requests on it.
    relay, port = await network(controller.port, cut_answers_after=[answer_bytes] * 3)
    async with ApiClient(controller.address(port)) as client:
        await client.upload(Uploadable.INPUT, tmp_path / "a.jsonl")
    assert controller.uploads[0].read_bytes() == content
    assert relay.connection_count > 1


async def test_after_a_lost_answer_the_upload_goes_on_and_does_not_begin_anew(
    controller: Controller, network: MakeNetwork, tmp_path: Path
) -> None:
    content = incompressible(4, 8_000_000)
    (tmp_path / "a.jsonl").write_bytes(content)
    begin = '{"name": "a.jsonl", "size": 8000000}'
    first_answer = await raw_request(
        controller, "PUT /v1/uploads/input HTTP/1.1", f"Content-Length: {len(begin)}", "", begin
    )
    relay, port = await network(controller.port, cut_answers_after=[len(first_answer) + 5])
    async with ApiClient(controller.address(port)) as client:
        await client.upload(Uploadable.INPUT, tmp_path / "a.jsonl")
    assert controller.uploads[0].read_bytes() == content
    assert relay.connection_count == 2
    assert relay.moved_bytes < 2.5 * len(content)


@pytest.mark.parametrize("answer_bytes", range(20, 500, 60))
async def test_an_answer_that_is_cut_anywhere_is_asked_for_again(
    controller: Controller, network: MakeNetwork, answer_bytes: int
) -> None:
    _, port = await network(controller.port, cut_answers_after=[answer_bytes] * 3)
    controller.board.tell(progress(4))
    async with ApiClient(controller.address(port)) as client:
        assert (await client.run_info()).progress == progress(4)


async def test_a_complete_upload_is_not_taken_twice(controller: Controller, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    async with ApiClient(controller.address()) as client:
        first = await client.upload(Uploadable.INPUT, tmp_path / "a.jsonl")
        with pytest.raises(ApiRefusedError, match="complete already"):
            await client.upload(Uploadable.INPUT, tmp_path / "a.jsonl")
    again = await raw_request(
        controller, "POST /v1/uploads/input HTTP/1.1", "Content-Length: 78", "", f'{{"sha256": "{first}"}}'.ljust(76)
    )
    assert again.startswith(b"HTTP/1.1 200")
    assert len(controller.uploads) == 1


async def test_how_far_an_upload_has_come_is_told(controller: Controller, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    async with ApiClient(controller.address()) as client:
        before = await client.upload_info(Uploadable.INPUT)
        await client.upload(Uploadable.INPUT, tmp_path / "a.jsonl")
        after = await client.upload_info(Uploadable.INPUT)
    assert (before.name, before.complete) == ("", False)
    assert (after.name, after.size, after.offset, after.complete) == ("a.jsonl", 3, 3, True)


async def test_workers_wait_for_the_store_and_get_it_whole(controller: Controller, tmp_path: Path) -> None:
    async with ApiClient(controller.address()) as one, ApiClient(controller.address()) as two:
        fetching = [
            asyncio.create_task(client.fetch_dataset_store(tmp_path / f"worker{number}", compile_limit_s=30))
            for number, client in enumerate((one, two))
        ]
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in fetching)
        write_atomic(tmp_path / "dataset.store", b"store" * 100_000)
        await asyncio.gather(*fetching)
    for number in range(2):
        assert (tmp_path / f"worker{number}").read_bytes() == b"store" * 100_000


# TLS


async def test_everything_works_over_tls_with_the_pinned_certificate(tmp_path: Path) -> None:
    async with serving(tmp_path, make_certificate("run-1", ["localhost", "127.0.0.1"])) as controller:
        contents = write_results(controller.artifact_dir)
        controller.end()
        async with ApiClient(controller.address()) as client:
            assert (await collect(client.follow()))[-1] == FINISHED
            await client.fetch_artifacts(tmp_path / "home")
    assert {name: (tmp_path / "home" / name).read_bytes() for name in contents} == contents


async def test_another_certificate_for_the_same_names_is_refused_at_once(tmp_path: Path) -> None:
    names = ["localhost", "127.0.0.1"]
    async with serving(tmp_path, make_certificate("run-1", names)) as controller:
        pinned = ApiAddress(
            f"https://127.0.0.1:{controller.port}", TOKEN, make_certificate("run-1", names).certificate_pem
        )
        async with ApiClient(pinned) as client:
            with pytest.raises(ControllerLostError, match="certificate"):
                await client.run_info()
            with pytest.raises(ControllerLostError, match="certificate"):
                await collect(client.follow())


# A proxy on the way


class TunnelProxy:
    """An HTTP proxy that opens tunnels to one port for whoever asks for HOST, whatever that is, with a password."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split("\r\n")[0])
        # jane:hush, as RFC 7617 writes it
        if "proxy-authorization: basic amfuztpodxno" not in head.lower():
            writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                to.write(data)
            to.close()

        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_proxy_on_the_way_is_asked_for_a_tunnel(tmp_path: Path, tls: bool) -> None:
    certificate = make_certificate("run-1", ["api.invalid"]) if tls else None
    async with serving(tmp_path, certificate) as controller:
        proxy = TunnelProxy(controller.port)
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        url = f"http://jane:hush@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        pem = certificate.certificate_pem if certificate else ""
        address = ApiAddress(f"http{'s' if tls else ''}://api.invalid:6443", TOKEN, pem, proxy_url=url)
        controller.board.tell(FINISHED)
        async with ApiClient(address) as client:
            assert (await client.run_info()).run_id == "run-1"
            assert (await collect(client.follow()))[-1] == FINISHED
        server.close()
    assert len(proxy.asked) == 2
    assert {line.split()[:2][1] for line in proxy.asked} == {"api.invalid:6443"}
    assert "hush" not in repr(address)


# Life


async def test_a_client_that_is_left_cuts_its_transfers(controller: Controller, tmp_path: Path) -> None:
    async with ApiClient(controller.address(), patience_s=60) as client:
        fetching = asyncio.create_task(client.fetch_dataset_store(tmp_path / "store", compile_limit_s=60))
        await asyncio.sleep(0.2)
    with pytest.raises(ControllerLostError):
        await asyncio.wait_for(fetching, 10)


async def test_probes_need_no_token(controller: Controller) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", controller.port)
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
