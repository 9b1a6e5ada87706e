import errno

import pytest

from aiperf.errors import InfrastructureError
from aiperf.report.atomic import atomic_file, write_atomic


def test_a_file_is_written_whole_and_its_folder_made(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_atomic(path, "öl")
    assert path.read_bytes() == "öl".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "file.txt"
    write_atomic(path, b"old and longer")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"


def test_after_an_exception_the_old_file_is_there_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_atomic(path, b"old")
    with pytest.raises(TypeError), atomic_file(path) as file:
        file.writelines([b"half of the n", None])
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "Choose a folder you may write to with --artifact-dir."),
        (errno.ENOSPC, "Check the disk, or choose another place with --artifact-dir."),
    ],
)
def test_what_cannot_be_written_is_said_with_the_reason_and_what_to_do(tmp_path, number, advice):
    path = tmp_path / "file.txt"
    with pytest.raises(InfrastructureError) as error, atomic_file(path):
        raise OSError(number, "why not")
    assert str(error.value) == f"Cannot write {path}: why not. {advice}"
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InfrastructureError, match="A file stands where a folder should be"):
        write_atomic(tmp_path / "file" / "below.txt", "")
