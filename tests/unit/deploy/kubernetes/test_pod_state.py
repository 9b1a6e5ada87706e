"""What people are told of a pod, for pods as the API gives them."""

from typing import Any

import pytest

from aiperf.deploy.kubernetes.pod_state import (
    creation_trouble,
    pod_state,
    startup_lines,
    unschedulable_text,
)

SCHEDULED = {"type": "PodScheduled", "status": "True"}


def pod(component: str = "worker", index: int | None = 3, **status: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": component}
    if index is not None:
        labels["batch.kubernetes.io/job-completion-index"] = str(index)
    status = {"phase": "Pending", "conditions": [SCHEDULED], **status}
    return {
        "metadata": {"name": "aiperf-x-worker-3-abcde", "labels": labels},
        "spec": {"nodeName": "n1"},
        "status": status,
    }


def container(name: str = "worker", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "r.example/aiperf:1", "restartCount": 0, "ready": False, **more}


def waiting(reason: str, message: str = "") -> list[dict[str, Any]]:
    return [container(state={"waiting": {"reason": reason, "message": message}})]


def ended(code: int, reason: str = "Error", message: str = "", **more: Any) -> list[dict[str, Any]]:
    return [container(state={"terminated": {"exitCode": code, "reason": reason, "message": message}}, **more)]


def test_a_ready_pod_has_no_trouble():
    conditions = [SCHEDULED, {"type": "Ready", "status": "True"}]
    statuses = [container(state={"running": {}}, ready=True)]
    state = pod_state(pod(phase="Running", conditions=conditions, containerStatuses=statuses))
    assert (state.short_name, state.ready, state.trouble, state.fatal, state.ended) == ("worker-3", True, "", False, "")
    assert state.node == "n1"


@pytest.mark.parametrize(
    ("statuses", "fatal", "words"),
    [
        (waiting("ErrImageNeverPull"), True, "image r.example/aiperf:1 is not on the node, and is never pulled"),
        (waiting("InvalidImageName"), True, "'r.example/aiperf:1' is no name of an image"),
        (
            waiting("CreateContainerConfigError", 'secret "llm" not found'),
            True,
            "its container cannot be set up: secret llm is not there",
        ),
        (waiting("ErrImagePull", "manifest unknown"), True, "there is no such image"),
        (waiting("ErrImagePull", 'failed to resolve reference "r.example/aiperf:1": not found'), True, "no such image"),
        (waiting("ImagePullBackOff", "dial tcp: no such host"), False, "its registry cannot be reached from the node"),
        (waiting("ErrImagePull", "401 Unauthorized"), True, "the registry wants credentials (--image-pull-secret)"),
        (waiting("ContainerCreating"), False, "its containers are being made"),
        ([container(state={"running": {}})], False, "its services start"),
    ],
)
def test_a_pod_that_waits_tells_for_what(statuses: list[Any], fatal: bool, words: str):
    state = pod_state(pod(containerStatuses=statuses))
    assert words in state.trouble
    assert state.fatal is fatal


def test_back_off_is_explained_by_the_failure_before_it():
    events = [{"reason": "Failed", "message": 'Failed to pull image "x": manifest unknown'}]
    state = pod_state(pod(containerStatuses=waiting("ImagePullBackOff", 'Back-off pulling image "x"')), events)
    assert state.trouble == "image r.example/aiperf:1 cannot be pulled: there is no such image (--image)"


def test_a_pod_without_a_node_tells_what_nodes_lack():
    message = (
        "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 2 Insufficient memory. "
        "preemption: 0/3 nodes are available: 3 No preemption victims found."
    )
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    state = pod_state(pod(conditions=[condition]))
    assert state.trouble == "no node takes it: of 3 nodes, 1 has a taint gpu: yes (--toleration), 2 lack memory"
    assert not state.fatal


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("0/1 nodes are available: 1 Insufficient cpu.", "the only node lacks CPU"),
        (
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes.",
            "the only node lacks CPU",
        ),
        ("0/9 nodes are available: 9 Insufficient nvidia.com/gpu.", "of 9 nodes, 9 lack nvidia.com/gpu"),
        ("0/2 nodes are available: 2 Too many pods.", "of 2 nodes, 2 have all the pods that it may"),
        (
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
            "of 2 nodes, 2 have not the labels asked for (--node-selector)",
        ),
        ("something new", "something new"),
        ("", "no reason given yet"),
    ],
)
def test_the_scheduler_is_shortened(message: str, words: str):
    assert unschedulable_text(message) == words


def test_out_of_memory_names_limit_and_flag():
    statuses = ended(137, "OOMKilled", resources={"limits": {"memory": "256Mi"}})
    state = pod_state(pod(phase="Failed", containerStatuses=statuses))
    assert state.ended == "killed: out of memory at its limit of 256Mi; raise --worker-memory"
    assert (state.exit_code, state.fatal) == (137, True)


def test_a_failed_container_is_quoted():
    statuses = ended(1, message="line 1\n\nOSError: no space left\n")
    state = pod_state(pod(phase="Failed", containerStatuses=statuses))
    assert state.ended == "ended with exit code 1: OSError: no space left"
    assert state.last_words == "line 1\nOSError: no space left"


def test_a_sidecar_that_crashes_in_a_running_pod_is_named():
    crashed = container(
        "record-processor",
        state={"waiting": {"reason": "CrashLoopBackOff"}},
        lastState={"terminated": {"exitCode": 70, "reason": "Error", "message": "Traceback"}},
    )
    statuses = {
        "initContainerStatuses": [crashed | {"restartCount": 3}],
        "containerStatuses": waiting("PodInitializing"),
    }
    state = pod_state(pod(**statuses))
    assert state.trouble == "container record-processor ended by a bug in aiperf (exit code 70): Traceback (3 times)"
    assert state.fatal


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"reason": "Evicted", "message": "The node was low on resource: memory."}, "evicted: The node was low on"),
        ({"reason": "DeadlineExceeded"}, "stopped: its time was up"),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]},
            "taken away by the cluster: its node is being drained",
        ),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}]},
            "its node went away",
        ),
        ({}, "failed: no reason given"),
    ],
)
def test_a_pod_that_was_taken_away_tells_by_whom(status: dict[str, Any], words: str):
    assert words in pod_state(pod(phase="Failed", **status)).ended


def test_deleted_and_finished_pods_have_ended_without_a_failure():
    assert pod_state(pod(phase="Running"), deleted=True).ended == "deleted"
    state = pod_state(pod(phase="Succeeded", containerStatuses=ended(0, "Completed")))
    assert (state.ended, state.exit_code, state.fatal) == ("finished", 0, False)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4',
            "the namespace's quota is used up: team, requested: pods=1",
        ),
        (
            'Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest": privileged',
            "the namespace's Pod Security level refuses them",
        ),
        (
            'pods "x" is forbidden: error looking up service account perf/a: serviceaccount "a" not found',
            "their account is not there",
        ),
        ('Error creating: pods "x" is forbidden: maximum memory usage per Container is 1Gi', "maximum memory usage"),
    ],
)
def test_pods_that_are_never_made_tell_why(message: str, words: str):
    assert words in creation_trouble([{"reason": "SuccessfulCreate"}, {"reason": "FailedCreate", "message": message}])


def test_without_a_failure_there_is_none():
    assert creation_trouble([{"reason": "SuccessfulCreate"}]) == ""


def test_the_start_is_told_in_a_few_lines_however_many_pods_wait():
    conditions = [SCHEDULED, {"type": "Ready", "status": "True"}]
    ready = pod_state(pod("controller", None, phase="Running", conditions=conditions))
    stuck = [pod_state(pod(index=index, containerStatuses=waiting("ErrImageNeverPull"))) for index in range(5)]
    other = pod_state(pod(index=9, conditions=[]))
    assert startup_lines([ready, *stuck, other], 12, "quota") == [
        "1 of 12 pods ready",
        "5 not made yet: quota",
        "worker-0 and 4 more: image r.example/aiperf:1 is not on the node, and is never pulled (--image-pull-policy)",
        "worker-9: waits to be scheduled",
    ]


def test_a_pod_that_was_told_to_go_has_not_ended_while_its_container_runs():
    def told_to_go(state: dict[str, Any], *, deleted: bool = False) -> str:
        evicted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        made = pod(phase="Running", conditions=[evicted], containerStatuses=[{"name": "worker", "state": state}])
        made["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        return pod_state(made, deleted=deleted).ended

    assert told_to_go({"running": {}}) == ""
    assert "drained" in told_to_go({"terminated": {"exitCode": 143}})
    assert "drained" in told_to_go({"running": {}}, deleted=True)
