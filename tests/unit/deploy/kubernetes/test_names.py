import re

from hypothesis import assume, example, given
from hypothesis import strategies as st

from aiperf.deploy.kubernetes.names import (
    LABEL_COMPONENT,
    Component,
    label_text,
    names_of,
    object_labels,
    run_labels,
)
from aiperf.plan.kubernetes_values import is_dns_label, label_key, label_value

anything = st.text(max_size=100)
PODS_MAX = 99_999


def test_a_usual_run_id_is_a_part_of_every_name() -> None:
    names = names_of("0123456789ab")
    assert names.service == "aiperf-0123456789ab"
    assert names.job(Component.WORKER) == "aiperf-0123456789ab-worker"
    assert names.dns_name(Component.CONTROLLER) == "controller.aiperf-0123456789ab"
    assert names.dns_name(Component.RECORD_PROCESSOR, 3) == "aiperf-0123456789ab-record-processor-3.aiperf-0123456789ab"


@given(anything)
@example("")
@example("-")
@example("A" * 100)
@example("\ud800")
def test_every_name_is_one_that_kubernetes_takes(run_id: str) -> None:
    names = names_of(run_id)
    plain = (names.namespace, names.service, names.access_service, names.config_map, names.secret)
    for name in (*plain, names.controller_account, names.network_policy, *map(names.job, Component)):
        assert is_dns_label(name)
    for component in Component:
        assert is_dns_label(f"{names.job(component)}-{PODS_MAX}")
        assert all(is_dns_label(part) for part in names.dns_name(component, PODS_MAX).split("."))


@given(anything, anything)
@example("a", "A")
@example("a_b", "a-b")
@example("x" * 60 + "1", "x" * 60 + "2")
def test_two_runs_share_no_name(one: str, other: str) -> None:
    assume(one != other)
    assert names_of(one) != names_of(other)


@given(anything)
@example("meta-llama/Llama-3.1-8B-Instruct")
@example("_")
@example("a" * 64)
def test_every_text_can_be_told_in_a_label(text: str) -> None:
    assert label_value(label_text(text)) == label_text(text)


@given(st.from_regex(re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", re.ASCII), fullmatch=True))
def test_what_can_be_a_label_is_kept_as_it_is(text: str) -> None:
    assert label_text(text) == text


@given(anything, anything)
def test_labels_are_ones_that_kubernetes_takes(run_id: str, model: str) -> None:
    for key, value in object_labels(run_id, model, {"team": "perf"}, Component.WORKER).items():
        assert label_key(key) == key
        assert label_value(value) == value


def test_a_user_cannot_replace_what_a_run_is_found_by() -> None:
    hostile = {**run_labels("other"), LABEL_COMPONENT: "controller", "team": "perf"}
    labels = object_labels("mine", "m", hostile, Component.WORKER)
    assert run_labels("mine").items() <= labels.items()
    assert (labels[LABEL_COMPONENT], labels["team"]) == ("worker", "perf")
