from collections import Counter

import pytest

from aiperf.plan.descriptions import default_text, flags_text, help_sentence
from aiperf.plan.fields import FIELD_BY_NAME, FIELDS, FLAGS, Kind, PlanField, sought_field
from aiperf.plan.plan import SWEEPABLE

each_field = pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)


def test_every_name_and_every_flag_means_one_field() -> None:
    names = Counter(field.name for field in FIELDS)
    flags = Counter(flag for field in FIELDS for flag in (*field.option.flags, *field.no_flags))
    assert [word for word, count in (names + flags).items() if count > 1] == []
    assert {"-v", "-vv", "-f", "--config", "-h", "--help"}.isdisjoint(flags)


@each_field
def test_a_field_has_help_and_a_long_flag(field: PlanField) -> None:
    assert field.option.help.endswith(".")
    assert field.flag.startswith("--")
    assert help_sentence(field).startswith(field.option.help)


@each_field
def test_a_field_without_default_says_what_happens_instead(field: PlanField) -> None:
    """Either the help tells the default, or without the field simply nothing is added to what happens anyway."""
    additions = {
        "api_key", "headers", "extra_inputs", "endpoint_path", "ca_file", "input_file", "dataset_type", "goodput",
        "concurrency", "request_rate", "arrival_smoothness", "duration_s", "warmup_request_count", "warmup_duration_s",
        "image_pull_secrets", "tolerations", "dataset_pvc", "results_pvc", "endpoint_secret",
        "session_header", "pod_env", "expected_ttft", "expected_itl", "costs_from",
    }  # fmt: skip
    told = "Default: " in help_sentence(field) or field.required
    assert told != (field.name in additions)


@each_field
def test_a_value_has_a_metavar_and_a_switch_has_none(field: PlanField) -> None:
    assert bool(field.metavar) == (field.kind is not Kind.SWITCH)


def test_the_sweepable_fields_are_those_whose_option_says_so() -> None:
    assert {field.name for field in FIELDS if field.option.sweepable} == SWEEPABLE


def test_the_kind_follows_from_the_type() -> None:
    kinds = {
        "models": Kind.LIST,
        "endpoint_type": Kind.CHOICE,
        "endpoint_path": Kind.TEXT,
        "streaming": Kind.SWITCH,
        "request_timeout_s": Kind.NUMBER,
        "api_key": Kind.SECRET,
        "headers": Kind.HEADERS,
        "extra_inputs": Kind.BODY,
        "labels": Kind.PAIRS,
        "ttl_s": Kind.INTEGER,
        "ca_file": Kind.FILE,
        "concurrency": Kind.INTEGER,
        "request_rate": Kind.NUMBER,
    }
    assert {name: FIELD_BY_NAME[name].kind for name in kinds} == kinds


def test_what_a_field_expects_follows_from_its_bounds() -> None:
    assert FIELD_BY_NAME["concurrency"].expects == "a whole number above 0"
    assert FIELD_BY_NAME["random_seed"].expects == "a whole number, 0 or more"
    assert FIELD_BY_NAME["request_timeout_s"].expects == "a number above 0"
    assert FIELD_BY_NAME["grace_period_s"].expects == "a number, 0 or more"
    assert FIELD_BY_NAME["ttl_s"].expects == "a whole number, 0 or more, or none"
    assert FIELD_BY_NAME["arrival_pattern"].expects == "one of poisson, constant, gamma"


def test_a_field_has_a_name_in_every_source() -> None:
    field = FIELD_BY_NAME["duration_s"]
    assert (field.flag, field.env_name, field.key) == ("--benchmark-duration", "AIPERF_DURATION_S", "load.duration_s")


def test_a_switch_can_be_turned_off_by_each_of_its_names() -> None:
    assert FIELD_BY_NAME["streaming"].no_flags == ("--no-streaming",)
    assert FLAGS["--no-streaming"].preset is False
    assert FLAGS["--streaming"].preset is True


def test_a_misspelt_word_finds_the_field_by_name_or_flag() -> None:
    for word in ("concurency", "CONCURRENCY", "concurrencies"):
        assert sought_field(word) is FIELD_BY_NAME["concurrency"]
    assert sought_field("model") is FIELD_BY_NAME["models"]
    assert sought_field("zzzzzz") is None


def test_a_default_is_told_with_its_unit() -> None:
    texts = {name: default_text(FIELD_BY_NAME[name]) for name in ("grace_period_s", "urls", "streaming", "concurrency")}
    assert texts == {
        "grace_period_s": "30 s",
        "urls": "http://localhost:8000",
        "streaming": "off",
        "concurrency": "",
    }


def test_flags_are_told_with_what_stands_for_the_value() -> None:
    assert flags_text(FIELD_BY_NAME["urls"]) == "--url, -u URL"
    assert flags_text(FIELD_BY_NAME["streaming"]) == "--streaming, --no-streaming"
