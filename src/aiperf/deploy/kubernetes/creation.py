"""Making a run's objects.

Owns: the steps. Does not own: what the objects are (`manifests`), removing them (`removal`).

The controller Job is created suspended, for its UID makes it the owner of the rest; resumed, when the rest is there.
So what a killed command leaves is either nothing that runs, or a run that can end by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.jobs import controller_job
from aiperf.deploy.kubernetes.manifests import RESUME_PATCH, namespace, owned_objects


async def create_run(
    cluster: Cluster,
    blueprint: Blueprint,
    tell: Callable[[str], None],
    expires_at_s: int | None,
    look: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """`expires_at_s`: when a namespace made for the run may be removed by whoever finds it (Unix time). `look` looks
    from inside the namespace while worker pods start, and raises AIPerfError if there is no sense in going on.

    Raises: ClusterError, or what `look` raises; what was made by then is there.
    """
    if blueprint.owns_namespace:
        await cluster.create(namespace(blueprint, expires_at_s))
        tell(f"namespace {blueprint.namespace} was created; it is deleted after the run")
    looking = asyncio.ensure_future(look()) if look is not None else None
    try:
        owner = await cluster.create(controller_job(blueprint))
        for manifest in owned_objects(blueprint, owner["metadata"]["uid"]):
            await cluster.create(manifest)
        if looking is not None:
            tell("the endpoint is tried from a pod")
            await looking
    finally:
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
    await cluster.patch("Job", owner["metadata"]["name"], blueprint.namespace, RESUME_PATCH)
