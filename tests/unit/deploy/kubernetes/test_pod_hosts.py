"""Which hosts end with a pod."""

from typing import Any

import pytest

from aiperf.deploy.kubernetes.names import LABEL_COMPONENT
from aiperf.deploy.kubernetes.pod_hosts import DISRUPTIONS_ANNOTATION, FAILURES_ANNOTATION, host_ends
from aiperf.deploy.kubernetes.pod_state import INDEX_LABEL, pod_state
from aiperf.deploy.layouts import kubernetes_layout
from aiperf.deploy.service_manager import HostEnded


def ended_pod(component: str, index: int | None, exit_code: int, **annotations: str) -> dict[str, Any]:
    labels = {LABEL_COMPONENT: component, **({} if index is None else {INDEX_LABEL: str(index)})}
    over = {"name": component, "state": {"terminated": {"exitCode": exit_code, "reason": "Error"}}}
    return {
        "metadata": {"name": f"{component}-x", "labels": labels, "annotations": annotations},
        "status": {"phase": "Failed" if exit_code else "Succeeded", "containerStatuses": [over]},
    }


def ends(pod: dict[str, Any], topology: str = "compact") -> list[HostEnded]:
    layout = kubernetes_layout(run_id="r1", topology=topology, workers=2, processors=2, seed=7)
    return host_ends(pod, pod_state(pod), layout)


def test_a_workers_pod_takes_its_record_processor_with_it() -> None:
    worker, beside = ends(ended_pod("worker", 1, 137))
    assert worker.host_id == "worker-1"
    assert worker.reason.startswith("killed")
    assert beside == HostEnded("record-processor-1", "it was in the pod of worker-1", False)


def test_where_each_service_has_a_pod_a_workers_end_is_its_own() -> None:
    assert [end.host_id for end in ends(ended_pod("worker", 1, 1), "per-service")] == ["worker-1"]


def test_the_controllers_pod_is_the_control_host() -> None:
    assert [end.host_id for end in ends(ended_pod("controller", None, 1))] == ["control"]


@pytest.mark.parametrize(("failures", "disruptions", "name"), [("1", "", "worker-0.1"), ("1", "2", "worker-0.3")])
def test_a_replacement_is_told_by_its_own_name(failures: str, disruptions: str, name: str) -> None:
    annotations = {FAILURES_ANNOTATION: failures, DISRUPTIONS_ANNOTATION: disruptions}
    assert ends(ended_pod("worker", 0, 1, **annotations))[0].host_id == name


def test_a_pod_that_finished_was_expected_to_end() -> None:
    assert all(end.expected for end in ends(ended_pod("worker", 0, 0)))


def test_a_pod_that_looks_around_before_the_run_is_no_host() -> None:
    assert ends(ended_pod("probe", None, 1)) == []
