import asyncio
import hashlib
import os
from pathlib import Path

import pytest
import zstandard

from aiperf.api.parcel import Shelf, files_to_send, pack


def test_a_parcel_is_the_file_and_its_checksum(tmp_path: Path) -> None:
    content = b"some content\n" * 300_000
    (tmp_path / "a").write_bytes(content)
    parcel = pack(tmp_path / "a", tmp_path / "packed" / "0")
    packed = parcel.packed_path.read_bytes()
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == content
    assert parcel.sha256 == hashlib.sha256(content).hexdigest()
    assert (parcel.size_bytes, parcel.packed_bytes) == (len(content), len(packed))
    assert parcel.packed_bytes < parcel.size_bytes / 100
    assert parcel.etag != parcel.packed_etag


def test_an_empty_file_makes_a_parcel(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    parcel = pack(tmp_path / "a", tmp_path / "0")
    assert parcel.size_bytes == 0
    assert zstandard.ZstdDecompressor().decompress(parcel.packed_path.read_bytes()) == b""


def test_files_are_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    for number, name in enumerate(["c", "sub/a", "b"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (number, number))
    assert [path.relative_to(tmp_path).as_posix() for path in files_to_send(tmp_path)] == ["c", "sub/a", "b"]


def test_links_and_temporary_files_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").touch()
    (folder / ".summary.json.123.tmp").touch()
    (folder / "file-link").symlink_to(tmp_path / "outside" / "secret")
    (folder / "folder-link").symlink_to(tmp_path / "outside")
    (folder / "file").touch()
    assert files_to_send(folder) == [folder / "file"]


async def test_a_shelf_packs_each_name_once(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "packed")
    (tmp_path / "a").write_bytes(b"first")
    shelf.stock("a", tmp_path / "a")
    first = await shelf.parcel("a", 10)
    (tmp_path / "a").write_bytes(b"second")
    shelf.stock("a", tmp_path / "a")
    assert await shelf.parcel("a", 10) == first
    assert dict(await shelf.parcels(10)) == {"a": first}
    shelf.close()


async def test_a_shelf_does_not_know_what_was_not_stocked(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        await Shelf(tmp_path).parcel("a", 1)


async def test_who_is_impatient_does_not_disturb_packing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "packed", threads=1)
    os.mkfifo(tmp_path / "slow")
    (tmp_path / "a").write_bytes(b"a")
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(shelf._pool, (tmp_path / "slow").read_bytes)  # keeps the only thread busy
    shelf.stock("a", tmp_path / "a")
    with pytest.raises(TimeoutError):
        await shelf.parcel("a", 0.01)
    with pytest.raises(TimeoutError):
        await shelf.parcels(0.01)
    (tmp_path / "slow").write_bytes(b"")
    await opening
    assert (await shelf.parcel("a", 10)).size_bytes == 1
    shelf.close()
