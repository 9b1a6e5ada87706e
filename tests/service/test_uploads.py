"""Where a file of the user's machine arrives: waited for while it comes, and not for ever."""

import asyncio
from pathlib import Path

import pytest

from aiperf.api.contract import Uploadable
from aiperf.errors import InfrastructureError
from aiperf.service.api_supply import UPLOAD_SILENCE_S, ApiSupply

pytestmark = [pytest.mark.looptime]


async def test_a_slow_upload_is_waited_for(tmp_path: Path):
    path, part = tmp_path / "input.jsonl", tmp_path / ".input.jsonl.part"
    waiting = asyncio.create_task(ApiSupply(None, None).user_file(Uploadable.INPUT, path))
    for count in range(1, 5):
        part.write_bytes(b"x" * count)
        await asyncio.sleep(UPLOAD_SILENCE_S * 0.9)
    part.replace(path)
    await waiting


async def test_an_upload_whose_sender_is_gone_is_given_up(tmp_path: Path):
    (tmp_path / ".input.jsonl.part").write_bytes(b"half of it")
    with pytest.raises(InfrastructureError, match=r"nothing more of the input .* for 300 s: the command that sends it"):
        await ApiSupply(None, None).user_file(Uploadable.INPUT, tmp_path / "input.jsonl")
