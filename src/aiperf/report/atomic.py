"""Files that are there whole or not at all.

Owns: writing to a temporary name beside the target, flushing to disk and renaming. Does not own: contents.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from aiperf.errors import InfrastructureError


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to be written. Under its name it appears when the block ends well; after an exception nothing is left.

    Raises: InfrastructureError saying what cannot be written and why.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InfrastructureError(f"Cannot write {path}: {error.strerror or error}. {_advice(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Writes the whole file. Raises: InfrastructureError saying what cannot be written and why."""
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def _advice(error: OSError) -> str:
    match error:
        case PermissionError():
            return "Choose a folder you may write to with --artifact-dir."
        case NotADirectoryError() | FileExistsError() | IsADirectoryError():
            return "A file stands where a folder should be, or the other way round; choose another --artifact-dir."
        case _:
            return "Check the disk, or choose another place with --artifact-dir."
