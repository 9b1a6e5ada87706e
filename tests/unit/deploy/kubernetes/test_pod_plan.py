from pathlib import Path

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.deploy.kubernetes.pod_plan import dataset_claim, pod_plan
from aiperf.plan.plan import Plan


@pytest.fixture
def input_file(tmp_path: Path) -> str:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "Hello"}')
    return str(path)


def planned(*words: str) -> Plan:
    return plan_from_argv(["-m", "m", "-u", "http://llm:8000", "--kubernetes", *words], {})[0]


def test_paths_are_those_of_a_pod(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("-----BEGIN CERTIFICATE-----\n")
    kubeconfig = tmp_path / "config"
    kubeconfig.touch()
    plan = pod_plan(
        planned("--ca-file", str(ca_file), "--kubeconfig", str(kubeconfig), "--artifact-dir", str(tmp_path))
    )
    assert str(tmp_path) not in str(plan)
    assert (plan.endpoint.ca_file, plan.results.artifact_dir) == (Path("/run/aiperf/ca.pem"), Path("/artifacts"))


def test_what_is_measured_stays_the_same() -> None:
    plan = planned("--concurrency", "7", "--warmup-duration", "3", "--random-seed", "5", "--api-key", "k")
    inside = pod_plan(plan)
    for section in ("tokenizer", "input", "load", "warmup"):
        assert getattr(inside, section) == getattr(plan, section)
    assert inside.endpoint == plan.endpoint


@pytest.mark.parametrize(
    ("words", "path", "claim"),
    [
        (("--input-file", "pvc://data/a/b.jsonl"), "/dataset/a/b.jsonl", "data"),
        (("--input-file", "a/b.jsonl", "--dataset-pvc", "data"), "/dataset/a/b.jsonl", "data"),
        (("--input-file", "/a/b.jsonl", "--dataset-pvc", "data"), "/dataset/a/b.jsonl", "data"),
        (("--input-file", "https://host/b.jsonl"), "https://host/b.jsonl", None),
        ((), None, None),
    ],
)
def test_where_the_dataset_manager_finds_the_input(words: tuple[str, ...], path: str | None, claim: str | None) -> None:
    inside = pod_plan(planned(*words))
    assert inside.input.input_file == path
    found = dataset_claim(inside)
    assert (found[0] if found else None) == claim


def test_a_file_of_this_machine_is_uploaded(input_file: str) -> None:
    inside = pod_plan(planned("--input-file", input_file))
    assert inside.input.input_file == "/data/uploads/input/in.jsonl"
    assert dataset_claim(inside) is None
