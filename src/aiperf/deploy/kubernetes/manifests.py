"""All objects of a run, as plain dictionaries in the order in which they are created.

Owns: which objects there are, their order, who owns them. Does not own: the objects themselves (`jobs`, `access`,
`network`, `run_files`), creating them, writing them as YAML (`yaml_out`).

One owner, one delete: everything in the namespace belongs to the controller Job. The steps of a run that a command
starts: `namespace` if it is ours, `controller_job` (suspended), which gives the UID for `owned_objects`, then
`RESUME_PATCH` on it. A standalone run has no UID before it is applied: its controller adopts the objects.
"""

from datetime import UTC, datetime
from typing import Any

from aiperf.deploy.kubernetes.access import access_objects
from aiperf.deploy.kubernetes.blueprint import Account, Blueprint
from aiperf.deploy.kubernetes.jobs import controller_job, service_jobs
from aiperf.deploy.kubernetes.names import ANNOTATION_EXPIRES_AT, Component, Names
from aiperf.deploy.kubernetes.network import access_service, headless_service, network_policy
from aiperf.deploy.kubernetes.pod_environment import looks_secret
from aiperf.deploy.kubernetes.pod_plan import UPLOAD_DIR
from aiperf.deploy.kubernetes.run_files import config_map, secret
from aiperf.errors import PlanError, Problem
from aiperf.plan.dumps import is_masked, public_dump

Manifest = dict[str, Any]

RESUME_PATCH: Manifest = {"spec": {"suspend": False}}

DELETE_OPTIONS: Manifest = {"propagationPolicy": "Background"}
"""For every delete of a Job: without it, its pods stay behind."""


def namespace(blueprint: Blueprint, expires_at_s: int | None = None) -> Manifest:
    """A namespace for this run alone. Whoever finds it later than `expires_at_s` (Unix time) may remove it."""
    metadata: Manifest = {"name": blueprint.namespace, "labels": blueprint.labels(), **blueprint.annotations()}
    if expires_at_s is not None:
        expiry = {ANNOTATION_EXPIRES_AT: time_text(expires_at_s)}
        metadata["annotations"] = {**metadata.get("annotations", {}), **expiry}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def time_text(at_s: int) -> str:
    """Unix time as the API writes it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def owned_objects(blueprint: Blueprint, controller_uid: str) -> list[Manifest]:
    """Everything that the controller Job owns, in order: what pods need comes before the pods."""
    owned = [*_surroundings(blueprint), *service_jobs(blueprint)]
    return [_owned(manifest, blueprint, controller_uid) for manifest in owned]


def standalone_manifests(blueprint: Blueprint) -> list[Manifest]:
    """What `kubectl apply` takes and what then runs by itself, without a secret in it.

    The controller comes before the pods that wait for it: where there is room for some of them only, it must be
    among those. Raises: PlanError if the run could not work so.
    """
    problems = standalone_problems(blueprint)
    if problems:
        raise PlanError(*problems)
    first = [namespace(blueprint)] if blueprint.owns_namespace else []
    return [*first, *_surroundings(blueprint), controller_job(blueprint), *service_jobs(blueprint)]


def standalone_problems(blueprint: Blueprint) -> list[Problem]:
    """Why manifests that are printed could not run by themselves."""
    problems = []
    hint = "Put it into a Secret, as `api-key` or `headers`, and name that by --endpoint-secret."
    dump = public_dump(blueprint.plan)["endpoint"]
    if blueprint.cluster.endpoint_secret is None:
        problems += [
            Problem("is a secret, and manifests hold none", flag, hint)
            for name, flag in (("api_key", "--api-key"), ("headers", "--header"))
            if is_masked(dump[name])
        ]
    if is_masked(dump["extra_inputs"]):
        problems.append(Problem("holds a secret, and manifests hold none", "--extra-inputs"))
    if (blueprint.plan.input.input_file or "").startswith(UPLOAD_DIR):
        what = "is on this machine, and nothing sends it to manifests that are applied"
        hint = "Use pvc://CLAIM/PATH, --dataset-pvc or an https:// address."
        problems.append(Problem(what, "--input-file", hint))
    problems += [
        Problem(
            f"{name} looks like a secret, and manifests hold none", "--pod-env", "Leave it out; see --endpoint-secret."
        )
        for name, value in blueprint.environment.variables.items()
        if looks_secret(name, value)
    ]
    if blueprint.account is Account.NONE:
        what = "without rights of its own, the controller cannot make the run's keys"
        problems.append(Problem(what, hint="Name an account that has them by --service-account."))
    return problems


def _surroundings(blueprint: Blueprint) -> list[Manifest]:
    """What pods need."""
    service = access_service(blueprint)
    return [
        *access_objects(blueprint),
        config_map(blueprint),
        *([] if blueprint.standalone else [secret(blueprint)]),
        network_policy(blueprint),
        headless_service(blueprint),
        *([service] if service else []),
    ]


def _owned(manifest: Manifest, blueprint: Blueprint, uid: str) -> Manifest:
    owner = owner_reference(blueprint.names, uid)
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [owner]}}


def owner_reference(names: Names, uid: str) -> Manifest:
    """The run's controller Job as an owner.

    Without `blockOwnerDeletion`: that would need rights on the owner's finalizers, and deletes wait for nobody.
    """
    return {"apiVersion": "batch/v1", "kind": "Job", "name": names.job(Component.CONTROLLER), "uid": uid}
