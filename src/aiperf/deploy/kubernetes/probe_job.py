"""A look from inside the cluster: a short-lived pod of the run's image that tries to reach the endpoint.

Owns: the Job, waiting for it, removing it, what its report means. Does not own: what runs in the pod
(`endpoint_probe`).

It answers what nothing else answers: whether nodes get the image, whether names resolve in pods, whether
the endpoint is reached from there.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.checks import Check
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.endpoint_probe import CA_VARIABLE, Finding, read_report
from aiperf.deploy.kubernetes.jobs import service_jobs
from aiperf.deploy.kubernetes.manifests import Manifest
from aiperf.deploy.kubernetes.names import LABEL_COMPONENT, Component, run_labels
from aiperf.deploy.kubernetes.pod_state import PodState, creation_trouble, pod_state

COMPONENT = "probe"
JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
LIMIT_S = 60.0
"""For all of it. Pulling an image for the first time may take longer: then that is what is told."""
GONE_AFTER_S = 60
PAUSE_S = 0.3
_REPORT = "/dev/termination-log"


def probe_job(blueprint: Blueprint) -> Manifest:
    """A Job of one pod: a worker's image, place and rights, and none of its files."""
    worker = next(job for job in service_jobs(blueprint) if job["metadata"]["name"].endswith(Component.WORKER.value))
    template, container = worker["spec"]["template"]["spec"], worker["spec"]["template"]["spec"]["containers"][0]
    kept = ("enableServiceLinks", "dnsConfig", "securityContext", "automountServiceAccountToken", "imagePullSecrets")
    placing = ("nodeSelector", "tolerations")
    endpoint = blueprint.plan.endpoint
    words = [word for url in endpoint.urls for word in ("--url", url)]
    limits = {"memory": "256Mi", **({"cpu": "500m"} if "cpu" in container["resources"]["limits"] else {})}
    name = f"{blueprint.names.base}-{COMPONENT}"
    metadata = blueprint.metadata(name)
    labels = {**blueprint.labels(), LABEL_COMPONENT: COMPONENT}
    # Who waits for the run's pods must not wait for this one.
    pod_labels = {key: value for key, value in labels.items() if key not in run_labels(blueprint.run_id)}
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        **{key: template[key] for key in (*kept, *placing) if key in template},
        "containers": [
            {
                "name": COMPONENT,
                "image": container["image"],
                "imagePullPolicy": container["imagePullPolicy"],
                "command": [
                    *("aiperf", "kube", "probe", "--report", _REPORT, *words),
                    *(["--insecure"] if endpoint.insecure else []),
                ],
                "env": [{"name": CA_VARIABLE, "value": blueprint.ca_pem}] if blueprint.ca_pem else [],
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": limits},
                "securityContext": container["securityContext"],
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**metadata, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": round(LIMIT_S) + 30,
            "ttlSecondsAfterFinished": GONE_AFTER_S,
            "template": {"metadata": {"labels": pod_labels, **blueprint.annotations()}, "spec": pod},
        },
    }


async def look_from_inside(cluster: Cluster, blueprint: Blueprint, limit_s: float = LIMIT_S) -> list[Check]:
    """Makes the Job, waits for its report, removes it."""
    job = probe_job(blueprint)
    name = job["metadata"]["name"]
    deadline_s = time.monotonic() + limit_s
    try:
        await cluster.create(job)
        return await _wait(cluster, blueprint.namespace, name, deadline_s)
    finally:
        await cluster.delete("Job", name, blueprint.namespace)


async def _wait(cluster: Cluster, namespace: str, name: str, deadline_s: float) -> list[Check]:
    while True:
        pods = await cluster.list("Pod", namespace, {JOB_NAME_LABEL: name})
        trouble = fatal = None
        if pods:
            metadata = pods[0]["metadata"]
            state = pod_state(pods[0], await cluster.events(namespace, metadata["name"], metadata["uid"]))
            if state.phase == "Succeeded" or state.exit_code is not None:
                return judge_end(state, _report_text(pods[0]))
            trouble, fatal = state.trouble, state.fatal
        else:
            trouble = creation_trouble(await cluster.events(namespace, name))
            fatal = bool(trouble)
        if fatal:
            return [Check("image", False, f"a pod of the image does not start: {trouble}", _image_hint(trouble or ""))]
        if time.monotonic() > deadline_s:
            what = f"a pod of the image was not done in time: {trouble or 'it runs'}"
            return [Check("image", None, what, "It may only need longer (a large image, a slow registry).")]
        await asyncio.sleep(PAUSE_S)


def _image_hint(trouble: str) -> str:
    return (
        "Nodes must be able to get it: --image, --image-pull-secret, --image-pull-policy." if "image" in trouble else ""
    )


def _report_text(pod: Mapping[str, Any]) -> str:
    for status in pod.get("status", {}).get("containerStatuses", []):
        if over := status.get("state", {}).get("terminated"):
            return str(over.get("message", ""))
    return ""


def judge_end(state: PodState, text: str) -> list[Check]:
    """What the pod found out, once it has ended."""
    pulled = Check("image", True, f"node {state.node} has the image, and it runs")
    try:
        findings = read_report(text)
    except ValueError:
        what = f"the image runs, but not as aiperf's does: {state.ended}"
        return [Check("image", False, what, "Is it an image of this version of aiperf (--image)?")]
    return [pulled, *judge(findings)]


def judge(findings: Sequence[Finding]) -> list[Check]:
    """Names and endpoints, as they look from a pod."""
    checks = []
    unresolved = [finding for finding in findings if finding.failed == "name"]
    for finding in unresolved:
        hint = (
            "Is the name complete (service.namespace), and does the Service exist? One made within the last half "
            "minute may not be known yet."
        )
        checks.append(Check("names", False, f"{finding.host} does not resolve in a pod: {finding.error}", hint))
    if len(unresolved) < len(findings):
        resolved = [each for each in findings if each.addresses and each.host not in each.addresses]
        shown = ", ".join(f"{each.host} is {each.addresses[0]}" for each in resolved) or "none had to"
        checks.append(Check("names", True, f"names resolve in pods: {shown}"))
    checks += [_endpoint(finding) for finding in findings if finding.failed != "name"]
    return checks


def _endpoint(finding: Finding) -> Check:
    where = f"{finding.url} "
    hints = {
        "connection": "Does it run, is the port right, and does a NetworkPolicy let pods of this namespace through?",
        "tls": "Name its authority by --ca-file, or skip the check by --insecure.",
        "answer": "Does it speak HTTP on this port (http:// or https://)?",
    }
    match finding.failed:
        case None:
            return Check("endpoint", True, f"{where}answers from a pod (HTTP {finding.status})")
        case "connection":
            what = f"{where}cannot be connected to from a pod: {finding.error}"
        case "tls":
            what = f"{where}does not pass the check of its certificate in a pod: {finding.error}"
        case _:
            what = f"{where}takes connections from a pod and does not answer: {finding.error}"
    return Check("endpoint", False, what, hints[finding.failed or "answer"])
