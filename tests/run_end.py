"""The end of a run whose hosts a test has started itself, one by one, as a cluster starts containers."""

import asyncio

from aiperf.deploy.line import BusLine
from aiperf.wire.messages import RunFinished


def awaited_end(line: BusLine, hang_s: float) -> RunFinished:
    """Raises: TimeoutError if the run has not ended by then."""
    # A loop factory, since without one the loop that the test framework keeps would be forgotten.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(_until_finished(line, hang_s))


async def _until_finished(line: BusLine, hang_s: float) -> RunFinished:
    await line.open()
    try:
        async with asyncio.timeout(hang_s):
            while not isinstance(message := await line.receive(), RunFinished):
                pass
        return message
    finally:
        await line.close()
