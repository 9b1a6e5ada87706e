from pathlib import Path
from typing import Any

import pytest

from aiperf.errors import PlanError, Problem
from aiperf.metrics.catalog import PER_REQUEST, Better
from aiperf.plan.checks import (
    CHECKS,
    GOODPUT_TAGS,
    STREAMING_TAGS,
    check_plan,
    is_sweep,
    parse_goodput,
    sweep_problems,
)
from aiperf.plan.fields import FIELD_BY_NAME
from aiperf.plan.plan import Plan

Origins = dict[str, str]


def made(**values: Any) -> tuple[Plan, Origins]:
    """A plan with these values, and origins as if each had been given by its flag."""
    sections: dict[str, dict[str, Any]] = {"endpoint": {"models": ["m"]}}
    for name, value in values.items():
        sections.setdefault(FIELD_BY_NAME[name].section, {})[name] = value
    return Plan.model_validate(sections), {name: FIELD_BY_NAME[name].flag for name in values}


def problems(**values: Any) -> list[Problem]:
    return check_plan(*made(**values))


def test_a_plan_of_defaults_is_fine() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("values", "origin", "what"),
    [
        ({"arrival_smoothness": 2, "request_rate": 1}, "--arrival-smoothness", "no effect on poisson arrivals"),
        ({"arrival_pattern": "constant", "concurrency": 1}, "--arrival-pattern", "without a request rate"),
        ({"arrival_pattern": "poisson"}, "--arrival-pattern", "without a request rate"),
        ({"warmup_concurrency": 2}, "--warmup-concurrency", "there is no warm-up"),
        ({"warmup_request_rate": 2}, "--warmup-request-rate", "there is no warm-up"),
        ({"warmup_grace_period_s": 2}, "--warmup-grace-period", "there is no warm-up"),
        ({"warmup_arrival_pattern": "gamma", "warmup_duration_s": 1}, "--warmup-arrival-pattern", "without a request"),
        ({"dataset_type": "single_turn"}, "--custom-dataset-type", "and there is none"),
        ({"osl_stddev_tokens": 2}, "--osl-stddev", "without a mean"),
        ({"concurrency_ramp_s": 2}, "--concurrency-ramp-duration", "without a concurrency"),
        ({"concurrency_ramp_s": 9, "concurrency": 5, "duration_s": 9}, "--concurrency-ramp-duration", "never reached"),
        ({"tokenizer": "builtin", "tokenizer_revision": "main"}, "--tokenizer-revision", "no revisions"),
        ({"api_key": "k", "headers": {"authorization": "x"}}, "--header", "and so does --api-key"),
        ({"session_header": "X-Id", "headers": {"x-id": "1"}}, "--session-header", "which --header sets too"),
        ({"wait_for_model_mode": "both"}, "--wait-for-model-mode", "the model is not waited for"),
        ({"goodput": "request_latency:x"}, "--goodput", "no number above 0"),
        ({"goodput": "request_latency:1 request_latency:2"}, "--goodput", "given twice"),
        ({"goodput": "time_to_first_token:1"}, "--goodput", "only known of streamed responses"),
        ({"goodput": "effective_latency:1", "concurrency": 1}, "--goodput", "only a request rate gives"),
        ({"input_file": "nowhere.jsonl"}, "--input-file", "nowhere.jsonl does not exist"),
        ({"input_file": "https://host/in.jsonl"}, "--input-file", "only local files"),
        ({"ca_file": "nowhere.pem"}, "--ca-file", "nowhere.pem does not exist"),
    ],
)
def test_a_contradiction_is_told_where_it_was_written(values: dict[str, Any], origin: str, what: str) -> None:
    (problem,) = problems(**values)
    assert problem.origin == origin
    assert what in problem.what


@pytest.mark.parametrize(
    "values",
    [
        {"arrival_smoothness": 2, "arrival_pattern": "gamma", "request_rate": 1},
        {"request_count": 10, "duration_s": 5},
        {"grace_period_s": 5},
        {"warmup_concurrency": 2, "warmup_request_count": 2},
        {"warmup_arrival_pattern": "gamma", "warmup_duration_s": 1, "request_rate": 1},
        {"osl_stddev_tokens": 2, "osl_mean_tokens": 5},
        {"concurrency_ramp_s": 2, "concurrency": 5, "duration_s": 9},
        {"osl_stddev_tokens": 0},
        {"tokenizer": "builtin"},
        {"tokenizer": "org/name", "tokenizer_revision": "v1"},
        {"goodput": "time_to_first_token:1 effective_latency:2", "streaming": True, "request_rate": 1},
        {"api_key": "k", "headers": {"X-Other": "x"}},
        {"wait_for_model_timeout_s": 0.5, "wait_for_model_mode": "models"},
        {"wait_for_model_timeout_s": 30},
    ],
)
def test_what_goes_together_is_fine(values: dict[str, Any]) -> None:
    assert problems(**values) == []


def test_every_problem_has_a_hint_or_says_all() -> None:
    found = problems(arrival_smoothness=1, warmup_concurrency=1, osl_stddev_tokens=1, goodput="ttft:1", insecure=True)
    assert len(found) == 4
    assert all(problem.hint for problem in found)


def test_a_file_and_synthetic_prompts_contradict_only_where_both_were_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "Hello"}')
    plan, origins = made(input_file=str(path), isl_mean_tokens=550, entries_count=3, osl_mean_tokens=10)
    assert [problem.origin for problem in check_plan(plan, origins)] == ["--num-dataset-entries", "--isl"]
    assert check_plan(plan, {"input_file": "--input-file"}) == []


def test_an_empty_input_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert "is empty" in problems(input_file=str(tmp_path / "empty.jsonl"))[0].what
    assert "is not a file" in problems(input_file=str(tmp_path))[0].what


def test_a_ca_file_must_hold_a_certificate_in_pem_form(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----\n")
    assert "no certificate" in problems(ca_file=path)[0].what
    path.write_text("# ours\n-----BEGIN CERTIFICATE-----\n")
    assert problems(ca_file=path) == []
    (contradiction,) = problems(ca_file=path, insecure=True)
    assert (contradiction.origin, "--ca-file" in contradiction.what) == ("--insecure", True)


def test_artifacts_need_a_folder_to_be_made_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(artifact_dir=tmp_path / "new" / "deep") == []
    (tmp_path / "file").touch()
    (problem,) = problems(artifact_dir=tmp_path / "file" / "deep")
    assert (problem.origin, problem.what) == ("--output-artifact-dir", f"{tmp_path}/file is a file, not a folder")
    monkeypatch.setattr("os.access", lambda *_: False)
    (problem,) = problems(artifact_dir=tmp_path / "new")
    assert problem.what == f"this user may not write to {tmp_path}"


def test_checks_of_a_broken_field_are_left_out() -> None:
    plan, origins = made(arrival_smoothness=2, request_rate=1)
    assert check_plan(plan, origins, {"arrival_pattern"}) == []


def test_checks_read_fields_that_there_are() -> None:
    assert {name for check in CHECKS for name in check.reads} <= set(FIELD_BY_NAME)


def test_goodput_is_parsed_into_numbers_by_tag() -> None:
    assert parse_goodput(" request_latency:250  inter_token_latency:2e1 ") == {
        "request_latency": 250.0,
        "inter_token_latency": 20.0,
    }
    assert parse_goodput("request_latency:1,inter_token_latency:2").keys() == {"request_latency", "inter_token_latency"}
    assert parse_goodput("mine:1", known_tags={"mine"}) == {"mine": 1.0}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ttft:1", "Did you mean time_to_first_token?"),
        ("request_latncy:1", "Did you mean request_latency?"),
        ("zzz:1", "Known: e2e_output_token_throughput"),
        ("request_latency", "Objectives are written"),
        ("request_latency:inf", "Objectives are written"),
        ("request_latency:nan", "Objectives are written"),
        ("request_latency:-1", "Objectives are written"),
        ("", "Known: "),
    ],
)
def test_an_objective_that_cannot_be_read_has_a_hint(text: str, hint: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_goodput(text)
    (problem,) = caught.value.problems
    assert problem.hint.startswith(hint)


def test_all_wrong_objectives_are_told() -> None:
    with pytest.raises(PlanError) as caught:
        parse_goodput("ttft:1 request_latency:x")
    assert len(caught.value.problems) == 2


def test_every_known_tag_is_an_objective() -> None:
    assert parse_goodput(" ".join(f"{tag}:1" for tag in GOODPUT_TAGS)).keys() == GOODPUT_TAGS


def test_a_list_of_values_is_a_sweep_and_several_models_are_none() -> None:
    assert not is_sweep(made(concurrency=1, models=["a", "b"])[0])
    plan, origins = made(concurrency=[1, 2], isl_mean_tokens=[1, 2, 3])
    assert is_sweep(plan)
    assert [problem.origin for problem in sweep_problems(plan, origins)] == ["--isl", "--concurrency"]


def test_objectives_are_the_catalogs_metrics_of_a_request_that_the_service_answers_for() -> None:
    candidates = {metric.tag for metric in PER_REQUEST if metric.exported and metric.better is not Better.NEITHER}
    about_the_client = {"dispatch_lag", "send_lag", "rearm_delay"}
    about_the_measurement = {tag for tag in candidates if tag.endswith(("_width", "_diff_pct"))}
    assert candidates - about_the_client - about_the_measurement == GOODPUT_TAGS
    assert {metric.tag for metric in PER_REQUEST if metric.streaming_only} & GOODPUT_TAGS == STREAMING_TAGS
