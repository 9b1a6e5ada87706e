import hashlib
import itertools
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from aiperf.api.contract import BLOCK_BYTES
from aiperf.api.upload import Upload, UploadError, WrongContentError, WrongOffsetError

CONTENT = bytes(range(256)) * 10


def packed(block: bytes) -> bytes:
    return zstandard.compress(block)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@given(st.lists(st.integers(0, len(CONTENT)), max_size=6))
def test_any_cut_into_blocks_gives_the_file(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    upload = Upload(tmp_path_factory.mktemp("upload"))
    upload.begin("a.jsonl", len(CONTENT))
    edges = [0, *sorted(cuts), len(CONTENT)]
    for start, stop in itertools.pairwise(edges):
        upload.append(start, packed(CONTENT[start:stop]))
    assert not upload.path.exists()
    assert upload.complete(sha256(CONTENT)).complete
    assert upload.path.read_bytes() == CONTENT


def test_a_block_out_of_its_place_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    upload.begin("a", 6)
    upload.append(0, packed(b"abc"))
    for offset in (0, 2, 4):
        with pytest.raises(WrongOffsetError, match="3"):
            upload.append(offset, packed(b"xyz"))
    upload.append(3, packed(b"def"))
    upload.complete(sha256(b"abcdef"))
    assert upload.path.read_bytes() == b"abcdef"


def test_what_a_failed_write_left_is_overwritten(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    upload.begin("a", 6)
    upload.append(0, packed(b"abc"))
    with (tmp_path / ".a.part").open("ab") as file:
        file.write(b"dX")
    upload.append(3, packed(b"def"))
    upload.complete(sha256(b"abcdef"))
    assert upload.path.read_bytes() == b"abcdef"


def test_another_checksum_drops_what_came(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    upload.begin("a", 3)
    upload.append(0, packed(b"abc"))
    with pytest.raises(WrongContentError):
        upload.complete(sha256(b"abd"))
    assert upload.info().offset == 0
    assert not upload.path.exists()
    upload.append(0, packed(b"abd"))
    upload.complete(sha256(b"abd"))


def test_it_is_not_complete_before_its_last_byte(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    upload.begin("a", 4)
    upload.append(0, packed(b"abc"))
    with pytest.raises(UploadError, match="3 of 4"):
        upload.complete(sha256(b"abc"))


def test_more_than_was_announced_is_refused(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    upload.begin("a", 2)
    with pytest.raises(WrongContentError, match="announced"):
        upload.append(0, packed(b"abc"))


def test_what_unpacks_to_more_than_a_block_is_refused(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    upload.begin("a", 1 << 40)
    bomb = bytes(BLOCK_BYTES + 1)
    streamed = zstandard.ZstdCompressor().compressobj()  # such frames do not tell their size
    for block in (packed(bomb), streamed.compress(bomb) + streamed.flush(), b"no frame at all"):
        with pytest.raises(WrongContentError):
            upload.append(0, block)
    assert upload.info().offset == 0


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    upload.begin("a", 0)
    upload.complete(sha256(b""))
    assert upload.path.read_bytes() == b""


def test_beginning_anew_drops_what_came(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    upload.begin("a", 6)
    upload.append(0, packed(b"abc"))
    assert upload.begin("a", 3).offset == 0
    upload.append(0, packed(b"xyz"))
    upload.complete(sha256(b"xyz"))
    assert upload.path.read_bytes() == b"xyz"


def test_a_complete_file_stays(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    upload.begin("a", 3)
    upload.append(0, packed(b"abc"))
    upload.complete(sha256(b"abc"))
    assert upload.complete(sha256(b"abc")).complete  # the answer may have been lost
    for step in (lambda: upload.begin("b", 1), lambda: upload.append(3, packed(b"d")), lambda: upload.complete("x")):
        with pytest.raises(UploadError):
            step()
    assert upload.path.read_bytes() == b"abc"


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a\0", "a\n", "x" * 300])
def test_only_plain_names_are_taken(tmp_path: Path, name: str) -> None:
    with pytest.raises(UploadError, match="plain"):
        Upload(tmp_path).begin(name, 1)


def test_nothing_comes_before_the_beginning(tmp_path: Path) -> None:
    for step in (lambda: Upload(tmp_path).append(0, packed(b"a")), lambda: Upload(tmp_path).complete(sha256(b""))):
        with pytest.raises(UploadError, match="begun"):
            step()
