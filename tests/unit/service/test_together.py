"""Parts that live side by side: the first to end ends all."""

import asyncio

import pytest

from aiperf.service.together import run_together


class Part:
    """Waits for ever; when cancelled it takes a while to leave."""

    def __init__(self) -> None:
        self.left = False

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.left = True


async def nothing() -> None:
    pass


async def failure() -> None:
    raise ValueError("broken")


async def test_the_first_to_return_ends_the_others_and_they_have_left_by_then():
    part = Part()
    await run_together(part.run(), nothing())
    assert part.left


async def test_the_first_to_fail_ends_the_others_and_its_failure_is_raised():
    part = Part()
    with pytest.raises(ValueError, match="broken"):
        await run_together(part.run(), failure())
    assert part.left


async def test_whoever_is_cancelled_leaves_nothing_running():
    part = Part()
    task = asyncio.create_task(run_together(part.run()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert part.left
