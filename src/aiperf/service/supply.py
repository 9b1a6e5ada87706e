"""What a host needs from other hosts' disks: the user's files, the compiled dataset.

Owns: what can be asked for; the answer of a disk that all hosts share. Does not own: bringing it from elsewhere
(`api_supply`), who makes it.
"""

from pathlib import Path
from typing import Protocol

from aiperf.api.contract import Uploadable


class Supply(Protocol):
    """Each method returns when the file is at its path, whole. Raises: InfrastructureError, BenchmarkError."""

    async def user_file(self, what: Uploadable, path: Path) -> None:
        """One that the user's machine sends."""
        ...

    async def dataset(self, path: Path) -> None:
        """The compiled dataset."""
        ...

    async def tokenizer(self, path: Path) -> None:
        """The tokenizer that it was compiled with, unless that is built in."""
        ...


class SameDisk:
    """Everything is where it was written."""

    async def user_file(self, what: Uploadable, path: Path) -> None:
        """It is read where it lies."""

    async def dataset(self, path: Path) -> None:
        """The dataset manager wrote it there."""

    async def tokenizer(self, path: Path) -> None:
        """It is where the dataset manager found it."""
