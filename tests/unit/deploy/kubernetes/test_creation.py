"""The order in which a run's objects are made."""

import asyncio
from typing import Any

import pytest

from aiperf.deploy.kubernetes.creation import create_run
from aiperf.errors import InfrastructureError


class Notes:
    """A cluster that notes what is asked of it."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.steps.append(f"create {manifest['kind']}")
        return {"metadata": {"name": manifest["metadata"]["name"], "uid": "1"}}

    async def patch(self, kind: str, *_: Any) -> None:
        self.steps.append(f"resume {kind}")


@pytest.fixture
def notes() -> Any:
    return Notes()


async def test_the_controller_is_resumed_last(notes: Any, draft: Any):
    await create_run(notes, draft(), notes.steps.append, None)
    assert [step for step in notes.steps if step.startswith("create")][:2] == ["create Namespace", "create Job"]
    assert notes.steps[-1] == "resume Job"
    assert notes.steps.count("resume Job") == 1


async def test_worker_pods_do_not_wait_for_the_look_from_inside_and_the_controller_does(notes: Any, draft: Any):
    may_end = asyncio.Event()

    async def look() -> None:
        await may_end.wait()
        notes.steps.append("looked")

    making = asyncio.create_task(create_run(notes, draft(), notes.steps.append, None, look))
    while "the endpoint is tried from a pod" not in notes.steps:
        await asyncio.sleep(0)
    assert notes.steps.count("create Job") == 2
    assert "resume Job" not in notes.steps
    may_end.set()
    await making
    assert notes.steps[-2:] == ["looked", "resume Job"]


async def test_a_look_that_finds_something_leaves_the_controller_suspended(notes: Any, draft: Any):
    async def look() -> None:
        raise InfrastructureError("nobody is there")

    with pytest.raises(InfrastructureError, match="nobody is there"):
        await create_run(notes, draft(), notes.steps.append, None, look)
    assert "resume Job" not in notes.steps
