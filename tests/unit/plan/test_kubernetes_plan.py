"""The section on Kubernetes, from the command line to its problems."""

from pathlib import Path

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.errors import PlanError, Problem
from aiperf.plan.dumps import load_dump, private_dump
from aiperf.plan.kubernetes_checks import is_on_this_machine
from aiperf.plan.layers import read_plan
from aiperf.plan.plan import Plan


def plan(*words: str, **environ: str) -> Plan:
    return plan_from_argv(["-m", "m", "-u", "http://llm:8000", *words], environ)[0]


def problems(*words: str, **environ: str) -> tuple[Problem, ...]:
    with pytest.raises(PlanError) as caught:
        plan(*words, **environ)
    return caught.value.problems


def test_without_flags_nothing_runs_in_a_cluster() -> None:
    assert not plan().kubernetes.kubernetes


def test_every_form_of_value_is_read() -> None:
    section = plan(
        *(
            "--kubernetes",
            "--namespace",
            "perf",
            "--toleration",
            "gpu=yes:NoSchedule,spot",
            "--toleration",
            "b:NoExecute",
        ),
        *("--label", "team=perf", "--label", "tier=a", "--annotation", "note=a, b=c", "--node-selector", "pool=load"),
        *("--ttl-seconds", "none", "--worker-cpu", "500m", "--worker-memory", "1Gi", "--image-pull-secret", "s"),
    ).kubernetes
    assert section.kubernetes_namespace == "perf"
    assert section.tolerations == ("gpu=yes:NoSchedule", "spot", "b:NoExecute")
    assert section.labels == {"team": "perf", "tier": "a"}
    assert section.annotations == {"note": "a, b=c"}
    assert section.node_selector == {"pool": "load"}
    assert (section.ttl_s, section.worker_cpu, section.worker_memory) == ("none", "500m", "1Gi")
    assert plan("--kubernetes", "--ttl-seconds", "60").kubernetes.ttl_s == 60


def test_pairs_may_be_a_json_object_in_the_environment() -> None:
    section = plan(AIPERF_KUBERNETES="yes", AIPERF_LABELS='{"team": "perf", "tier": "a"}').kubernetes
    assert section.labels == {"team": "perf", "tier": "a"}


def test_a_plan_for_a_cluster_survives_the_way_to_a_pod() -> None:
    sent = plan("--kubernetes", "--ttl-seconds", "none", "--toleration", "spot", "--label", "team=perf")
    assert load_dump(private_dump(sent)) == sent


@pytest.mark.parametrize(
    ("words", "origin", "what"),
    [
        (("--ttl-seconds", "never"), "--ttl-seconds", "'never' is not a whole number, 0 or more, or none"),
        (("--namespace", "Perf"), "--namespace", "'Perf' is not a name"),
        (("--worker-cpu", "0"), "--worker-cpu", "above 0"),
        (("--worker-memory", "512m"), "--worker-memory", "write 512Mi"),
        (("--toleration", "a:b"), "--toleration", "the effect is one of"),
        (("--label", "team"), "--label", "not written KEY=VALUE"),
        (("--label", "aiperf/run-id=x"), "--label", "not yours to set"),
        (("--label", "a=b,c=d"), "--label", "several labels are several flags"),
        (("--node-ip", "10.0.0.1"), "--node-ip", "no effect on port-forward"),
        (("--detach", "--dry-run"), "--detach", "contradicts --dry-run"),
        (("--min-workers", "3", "--workers-max", "2"), "--min-workers", "more workers than --workers-max"),
        (("--timing-manager-cpu", "1"), "--timing-manager-cpu", "in the controller pod"),
        (("--record-processors", "2"), "--record-processors", "each worker pod has a record processor"),
        (("--dataset-pvc", "data"), "--dataset-pvc", "no file that is asked for"),
        (("--dataset-pvc", "data", "--input-file", "https://h/x"), "--input-file", "not a path on the claim"),
        (
            ("--dataset-pvc", "data", "--input-file", "pvc://data/x"),
            "--input-file",
            "says again what --dataset-pvc says",
        ),
        (("--input-file", "pvc://data"), "--input-file", "names no file on a claim"),
        (("--input-file", "pvc://data/../x"), "--input-file", "leads out of the claim"),
        (("--input-file", "nowhere.jsonl"), "--input-file", "does not exist"),
        (("--kubeconfig", "nowhere.yaml"), "--kubeconfig", "does not exist"),
    ],
)
def test_a_wrong_setting_is_told_where_it_was_written(words: tuple[str, ...], origin: str, what: str) -> None:
    (problem,) = problems("--kubernetes", *words)
    assert problem.origin == origin
    assert what in problem.what


def test_a_clusters_flag_without_a_cluster_has_no_effect() -> None:
    found = problems("--namespace", "perf", "--detach", "--label", "a=b")
    assert {problem.origin for problem in found} == {"--namespace", "--detach", "--label"}
    assert {problem.hint for problem in found} == {"Add --kubernetes."}


def test_a_clusters_settings_may_wait_in_environment_and_file(tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text("kubernetes: {kubernetes_namespace: perf, worker_cpu: '1', labels: {team: perf}}")
    read, _ = read_plan({"--model": ["m"]}, {"AIPERF_IMAGE": "r/a:1"}, path)
    assert (read.kubernetes.kubernetes_namespace, read.kubernetes.image) == ("perf", "r/a:1")


def test_a_claim_needs_a_cluster() -> None:
    (problem,) = problems("--input-file", "pvc://data/x.jsonl")
    assert problem.hint == "Add --kubernetes."


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), False),
        (("--input-file", "pvc://data/x.jsonl"), False),
        (("--input-file", "https://host/x.jsonl"), False),
        (("--input-file", "x.jsonl", "--dataset-pvc", "data"), False),
    ],
)
def test_where_the_input_file_is(words: tuple[str, ...], expected: bool) -> None:
    assert is_on_this_machine(plan("--kubernetes", *words)) is expected


def test_connections_per_worker_is_known_by_its_old_name() -> None:
    assert plan(AIPERF_HTTP_CONNECTION_LIMIT="500").services.connections_per_worker == 500
    both = plan(AIPERF_HTTP_CONNECTION_LIMIT="500", AIPERF_CONNECTIONS_PER_WORKER="700")
    assert both.services.connections_per_worker == 700


@pytest.mark.parametrize("url", ["localhost:8000", "http://127.0.0.2:8000", "http://[::1]:8000"])
def test_an_endpoint_on_loopback_would_be_the_pod_itself(url: str) -> None:
    (problem,) = problems("--kubernetes", "-u", url)
    assert problem.origin == "-u"
    assert "the pod itself" in problem.what
