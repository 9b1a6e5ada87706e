"""Parts that live side by side and end together.

Owns: their common end. Does not own: what they do.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_together(*works: Coroutine[Any, Any, object]) -> None:
    """Runs them until the first returns, or fails; the others are then cancelled, and have ended when this returns.

    Raises: whatever made the first one fail.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
