"""Variables of the user's in the run's containers: by the Secret, and in nothing that people see."""

import json
from typing import Any

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.deploy.kubernetes.blueprint import Blueprint
from aiperf.deploy.kubernetes.jobs import controller_job, service_jobs
from aiperf.deploy.kubernetes.manifests import owned_objects, standalone_manifests
from aiperf.deploy.kubernetes.pod_environment import PodEnvironment, looks_secret, pod_environment
from aiperf.deploy.kubernetes.run_files import config_map, secret
from aiperf.errors import PlanError
from aiperf.plan.dumps import MASK, public_dump
from aiperf.plan.plan import Plan

PROXY = "http://jane:hush@proxy:3128"


def plan(*words: str) -> Plan:
    return plan_from_argv(["-m", "m", "-u", "http://llm:8000", "--kubernetes", *words], {})[0]


def entries(blueprint: Blueprint, container: str) -> dict[str, Any]:
    """Of a container: name → what its value is or where it comes from."""
    for job in (controller_job(blueprint), *service_jobs(blueprint)):
        spec = job["spec"]["template"]["spec"]
        for each in (*spec.get("initContainers", []), *spec["containers"]):
            if each["name"] == container:
                return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in each["env"]}
    raise AssertionError(f"there is no container {container}")


@pytest.fixture
def token_of_hub(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("aiperf.deploy.kubernetes.pod_environment.hub.token", lambda: "hf_hush")
    return "hf_hush"


def test_a_name_alone_takes_over_what_is_set_here():
    chosen = plan("--pod-env", "HTTPS_PROXY", "--pod-env", "NO_PROXY=10.0.0.0/8,.svc")
    found = pod_environment(chosen, {"HTTPS_PROXY": PROXY, "OTHER": "x"})
    assert found.variables == {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8,.svc"}
    with pytest.raises(PlanError, match="HTTPS_PROXY is not set here"):
        pod_environment(chosen, {})


@pytest.mark.parametrize("name", ["AIPERF_API_KEY", "POD_NAME", "HOME", "1X", "A B"])
def test_names_that_are_not_the_users_are_refused(name: str):
    with pytest.raises(PlanError):
        plan("--pod-env", f"{name}=x")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--tokenizer", "org/name"), True),
        (("-m", "org/name"), True),
        (("-m", "m"), False),
        (("-m", "org/name", "--tokenizer", "builtin"), False),
        (("--tokenizer", "./tokenizer.json"), False),
    ],
)
def test_the_hubs_token_goes_along_only_where_the_hub_is_asked(words: tuple[str, ...], wanted: bool, token_of_hub: str):
    argv = ["-u", "http://llm:8000", "--kubernetes", *words]
    chosen = plan_from_argv(argv if "-m" in words else ["-m", "m", *argv], {})[0]
    assert pod_environment(chosen, {}).hub_token == (token_of_hub if wanted else "")


def test_values_are_in_the_secret_and_nowhere_else(draft: Any, token_of_hub: str):
    environment = PodEnvironment({"HTTPS_PROXY": PROXY}, token_of_hub)
    blueprint = draft("--pod-env", f"HTTPS_PROXY={PROXY}", environment=environment)
    files = secret(blueprint)["stringData"]
    assert (files["env.HTTPS_PROXY"], files["env.HF_TOKEN"]) == (PROXY, "hf_hush")
    others = [each for each in owned_objects(blueprint, "uid") if each["kind"] != "Secret"]
    text = json.dumps([controller_job(blueprint), *others, config_map(blueprint)]) + repr(blueprint)
    assert "hush" not in text
    assert "hush" not in files["plan.json"]


def test_every_container_gets_the_variables_and_one_the_hubs_token(draft: Any, token_of_hub: str):
    environment = PodEnvironment({"HTTPS_PROXY": PROXY}, token_of_hub)
    blueprint = draft(environment=environment)
    reference = {"secretKeyRef": {"name": blueprint.names.secret, "key": "env.HTTPS_PROXY"}}
    for container in ("controller", "worker", "record-processor"):
        assert entries(blueprint, container)["HTTPS_PROXY"] == reference
    holders = [each for each in ("controller", "worker", "record-processor") if "HF_TOKEN" in entries(blueprint, each)]
    assert holders == ["controller"]
    apart = draft("--topology", "per-service", environment=environment)
    assert "HF_TOKEN" in entries(apart, "dataset-manager")
    assert "HF_TOKEN" not in entries(apart, "controller")


def test_printed_manifests_hold_plain_values_and_refuse_secrets(draft: Any, token_of_hub: str):
    plain = PodEnvironment({"HTTPS_PROXY": "http://proxy:3128"}, token_of_hub)
    words = ("--endpoint-secret", "llm", "--tokenizer", "org/name")
    blueprint = draft(*words, standalone=True, environment=plain)
    assert "hush" not in json.dumps(standalone_manifests(blueprint))
    assert entries(blueprint, "worker")["HTTPS_PROXY"] == "http://proxy:3128"
    hub = {"secretKeyRef": {"name": "llm", "key": "hf-token", "optional": True}}
    assert entries(blueprint, "controller")["HF_TOKEN"] == hub
    assert "HF_TOKEN" not in entries(blueprint, "worker")
    for name, value in {"HTTPS_PROXY": PROXY, "HF_TOKEN": "x", "MY_API_KEY": "x"}.items():
        blueprint = draft(standalone=True, environment=PodEnvironment({name: value}))
        with pytest.raises(PlanError, match=f"{name} looks like a secret"):
            standalone_manifests(blueprint)


def test_an_exported_plan_masks_values():
    chosen = plan("--pod-env", f"HTTPS_PROXY={PROXY}", "--pod-env", "NO_PROXY")
    assert public_dump(chosen)["kubernetes"]["pod_env"] == {"HTTPS_PROXY": MASK, "NO_PROXY": ""}
    assert "hush" not in repr(chosen)


def test_an_address_that_cannot_be_read_may_hold_a_password_all_the_same():
    assert looks_secret("HTTPS_PROXY", "http://jane:hush@[proxy:3128")
    assert not looks_secret("HTTPS_PROXY", "http://[proxy:3128")
