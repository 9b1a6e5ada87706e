from typing import Any

import pytest

from aiperf.deploy.kubernetes.pod_logs import is_wanted, sources_of


def pod(states: dict[str, str], index: str | None = None) -> dict[str, Any]:
    labels = {} if index is None else {"batch.kubernetes.io/job-completion-index": index}
    main, sidecar = {"name": "worker"}, {"name": "record-processor"}
    return {
        "metadata": {"name": "pod-x", "labels": labels},
        "spec": {"initContainers": [sidecar], "containers": [main]},
        "status": {
            "initContainerStatuses": [{"name": name, "state": {states[name]: {}}} for name in states if "-" in name],
            "containerStatuses": [{"name": name, "state": {states[name]: {}}} for name in states if "-" not in name],
        },
    }


def test_hosts_are_named_as_in_the_layout() -> None:
    assert [source.host for source in sources_of(pod({}, "3"))] == ["record-processor-3", "worker-3"]
    assert [source.host for source in sources_of(pod({}))] == ["record-processor", "worker"]


@pytest.mark.parametrize(
    ("states", "begun"),
    [
        ({}, [False, False]),
        ({"record-processor": "running", "worker": "waiting"}, [True, False]),
        ({"record-processor": "terminated", "worker": "running"}, [True, True]),
    ],
)
def test_only_containers_that_have_begun_have_written(states: dict[str, str], begun: list[bool]) -> None:
    assert [source.has_begun for source in sources_of(pod(states, "0"))] == begun


@pytest.mark.parametrize(
    ("component", "wanted"),
    [
        (None, ["controller", "worker-0", "worker-10", "record-processor-0"]),
        ("worker", ["worker-0", "worker-10"]),
        ("worker-1", []),
        ("record-processor", ["record-processor-0"]),
        ("record", []),
        ("controller", ["controller"]),
    ],
)
def test_which_hosts_are_wanted(component: str | None, wanted: list[str]) -> None:
    hosts = ["controller", "worker-0", "worker-10", "record-processor-0"]
    assert [host for host in hosts if is_wanted(host, component)] == wanted
