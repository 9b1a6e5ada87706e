from pathlib import Path

import pytest

from aiperf.errors import Problem
from aiperf.plan.config_file import ConfigFile, read_config_file


def config(tmp_path: Path, text: str, name: str = "bench.yaml") -> ConfigFile:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_config_file(path)


def the_problem(found: ConfigFile) -> Problem:
    (problem,) = found.problems
    return problem


def test_values_are_found_by_field_name(tmp_path: Path) -> None:
    found = config(tmp_path, "load:\n  concurrency: 10\nendpoint: {models: [a, b], streaming: yes}\n")
    assert found.values == {"concurrency": 10, "models": ["a", "b"], "streaming": True}
    assert found.problems == []


def test_null_is_as_good_as_absent(tmp_path: Path) -> None:
    assert config(tmp_path, "load: {concurrency: null}\nwarmup:\n").values == {}


def test_json_is_read_as_json(tmp_path: Path) -> None:
    found = config(tmp_path, '{\n\t"load": {"request_rate": 1e2}}', "bench.json")
    assert found.values == {"request_rate": 100.0}


def test_a_result_file_gives_the_plan_it_was_made_from(tmp_path: Path) -> None:
    found = config(tmp_path, '{"input_config": {"load": {"concurrency": 3}}, "request_count": {}}', "export.json")
    assert (found.values, found.problems) == ({"concurrency": 3}, [])


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("load: {concurency: 1}", "load.concurency", "Did you mean load.concurrency?"),
        ("endpoint: {model: m}", "endpoint.model", "Did you mean endpoint.models?"),
        ("load: {request-rate: 1}", "load.request-rate", "Did you mean load.request_rate?"),
        ("input: {isl: 5}", "input.isl", "Did you mean input.isl_mean_tokens?"),
        ("endpoint: {concurrency: 1}", "endpoint.concurrency", "Did you mean load.concurrency?"),
        ("concurrency: 1", "concurrency", "Did you mean load.concurrency?"),
        ("laod: {concurrency: 1}", "laod", "Did you mean load?"),
        ("load: {zzzzzz: 1}", "load.zzzzzz", "All keys: aiperf profile --help."),
    ],
)
def test_an_unknown_key_is_a_problem_with_the_nearest_one(tmp_path: Path, text: str, key: str, hint: str) -> None:
    problem = the_problem(config(tmp_path, text))
    assert (problem.origin, problem.hint) == (f"{tmp_path}/bench.yaml: {key}", hint)


def test_all_unknown_keys_are_told_at_once(tmp_path: Path) -> None:
    found = config(tmp_path, "load: {concurency: 1, rate: 2}\nzzz: 1\n")
    assert len(found.problems) == 3
    assert "concurrency" in found.sought


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("load: [1", "is not YAML: line 1"),
        ("load:\n  a: b: c\n", "is not YAML: line 2"),
        ("load:\n  concurrency: 1\n  concurrency: 2\n", "line 3: the key 'concurrency' is here for the second time"),
        ("load: !!python/object:os.system {}", "is not YAML: line 1"),
        ("? [a]\n: 1\n", "is not YAML: line 1"),
        ("load: \x01", "is not YAML"),
        ("just words", "is not a file of sections"),
        ("", "is not a file of sections"),
        ("load: 5", "is a section, not a value"),
    ],
)
def test_a_file_of_the_wrong_form_says_what_and_where(tmp_path: Path, text: str, what: str) -> None:
    assert what in the_problem(config(tmp_path, text)).what


def test_bad_json_is_told_with_its_line(tmp_path: Path) -> None:
    assert "is not JSON: line 2" in the_problem(config(tmp_path, '{"load":\n x}', "bench.json")).what


def test_yaml_anchors_and_merges_work(tmp_path: Path) -> None:
    found = config(tmp_path, "load: &l {concurrency: 1}\nwarmup: {}\nservices: {<<: {ui: none}, log_level: info}\n")
    assert found.values == {"concurrency": 1, "ui": "none", "log_level": "info"}


def test_a_file_that_is_not_there_or_not_text_is_a_problem(tmp_path: Path) -> None:
    assert "No such file" in the_problem(read_config_file(tmp_path / "nowhere.yaml")).what
    assert "directory" in the_problem(read_config_file(tmp_path)).what
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8" in the_problem(read_config_file(tmp_path / "binary.yaml")).what
