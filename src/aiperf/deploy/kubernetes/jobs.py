"""The Jobs of a run: one for each pod there is once, an Indexed one for workers, and for pods of record processors.

Owns: how many pods, for how long, what happens when one fails. Does not own: what is in a pod (`pods`).
"""

from typing import Any

from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.names import Component, component_of
from aiperf.deploy.kubernetes.pods import pod_template
from aiperf.errors import ExitCode
from aiperf.service.layout import Host

REPLACEMENTS_MAX = 3
"""For each worker. A replacement is a spare (docs/credits.md): more would only fail again."""


def controller_job(blueprint: Blueprint) -> dict[str, Any]:
    """The Job that owns everything else. Suspended: its creator resumes it when all it owns is there.

    A standalone one runs at once, and does that itself.
    """
    host = _hosts(blueprint, Component.CONTROLLER)[0]
    ttl_s = blueprint.cluster.ttl_s
    return _job(
        blueprint,
        Component.CONTROLLER,
        {
            "suspend": not blueprint.standalone,
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            **({} if blueprint.controller_s is None else {"activeDeadlineSeconds": blueprint.controller_s}),
            **({} if ttl_s == "none" else {"ttlSecondsAfterFinished": ttl_s}),
            "template": pod_template(blueprint, host),
        },
    )


def service_jobs(blueprint: Blueprint) -> list[dict[str, Any]]:
    """Every other Job, in the order of the layout.

    None is ever suspended: of a standalone run, pods wait for the Secret that the controller makes. A Job that the
    controller had resumed would be suspended again, and its pods ended, by whoever applies the manifests again.
    """
    present = [component for component in blueprint.sizing.resources if component is not Component.CONTROLLER]
    compact = blueprint.sizing.topology == "compact"
    jobs = []
    for component in sorted(present, key=list(Component).index):
        host = _hosts(blueprint, component)[0]
        if component is Component.WORKER:
            sidecar = _hosts(blueprint, Component.RECORD_PROCESSOR)[0] if compact else None
            jobs.append(_job(blueprint, component, _indexed(blueprint, component, host, sidecar)))
        elif component is Component.CALIBRATION_SERVER:
            jobs.append(_job(blueprint, component, _indexed(blueprint, component, host, None)))
        elif component is Component.RECORD_PROCESSOR:
            if not compact:
                jobs.append(_job(blueprint, component, _indexed(blueprint, component, host, None)))
        else:
            jobs.append(_job(blueprint, component, _single(blueprint, component, host)))
    return jobs


def _hosts(blueprint: Blueprint, component: Component) -> list[Host]:
    return [host for host in blueprint.layout.hosts if component_of(host) is component]


def _job(blueprint: Blueprint, component: Component, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": blueprint.metadata(blueprint.names.job(component), component),
        "spec": spec,
    }


def _single(blueprint: Blueprint, component: Component, host: Host) -> dict[str, Any]:
    """A service that there is once: without it the run is over. Results are served as long as the controller lives."""
    keeps = component is Component.RECORDS_MANAGER
    end_s = blueprint.controller_s if keeps else blueprint.work_s
    return {
        "suspend": False,
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": 0,
        **({} if end_s is None else {"activeDeadlineSeconds": end_s}),
        "template": pod_template(blueprint, host),
    }


def _indexed(blueprint: Blueprint, component: Component, host: Host, sidecar: Host | None) -> dict[str, Any]:
    """Pods with a number each, which fail and are replaced each for itself.

    A pod is replaced only when it has ended: two of the same number would share one name. A node that is taken away
    is not the pod's fault and costs it no attempt; a wrong plan or a bug would come again and is not tried again.
    """
    count = blueprint.sizing.count(component)
    hopeless = [int(ExitCode.USAGE), int(ExitCode.BUG)]
    return {
        "suspend": False,
        "completionMode": "Indexed",
        "completions": count,
        "parallelism": count,
        "backoffLimitPerIndex": REPLACEMENTS_MAX,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailIndex",
                    "onExitCodes": {"containerName": component.value, "operator": "In", "values": hopeless},
                },
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "activeDeadlineSeconds": blueprint.work_s,
        "template": pod_template(blueprint, host, sidecar),
    }
