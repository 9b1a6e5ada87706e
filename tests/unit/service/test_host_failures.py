"""What a host tells when it fails."""

import asyncio

from aiperf.errors import AIPerfError, InfrastructureError
from aiperf.service.host import failures_in


async def test_failures_are_found_however_deep_their_groups_are():
    async def fail(text: str) -> None:
        raise InfrastructureError(text)

    async def services() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail("cannot listen"))
            group.create_task(fail("cannot write"))

    told = []
    try:
        async with asyncio.TaskGroup():
            await services()
    except* AIPerfError as group:
        told = [str(error) for error in failures_in(group)]
    assert told == ["cannot listen", "cannot write"]
