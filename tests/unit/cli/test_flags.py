import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.cli.flags import plan_from_argv, read_command_line
from aiperf.errors import PlanError, Problem
from aiperf.plan.fields import FLAGS


def problems_of(*argv: str) -> tuple[Problem, ...]:
    with pytest.raises(PlanError) as caught:
        plan_from_argv(argv, {})
    return caught.value.problems


def the_problem(*argv: str) -> Problem:
    (problem,) = problems_of("-m", "m", *argv)
    return problem


def test_a_value_follows_as_the_next_word_or_after_an_equals_sign() -> None:
    line = read_command_line(["-m", "a", "--concurrency=5", "--url=http://h?x=1", "-u=b:1"])
    assert line.flags == {"-m": ["a"], "--concurrency": ["5"], "--url": ["http://h?x=1", "b:1"]}
    assert line.problems == []


def test_the_order_of_repeated_values_is_kept_over_all_spellings() -> None:
    line = read_command_line(["-m", "a", "--model", "b", "-m", "c", "--model-names=d"])
    assert line.flags == {"-m": ["a", "b", "c", "d"]}


def test_switches_take_no_value() -> None:
    line = read_command_line(["--streaming", "--no-insecure", "-vv"])
    assert line.flags == {"--streaming": True, "--no-insecure": True, "-vv": True}


@pytest.mark.parametrize(("flag", "level"), [("-v", "debug"), ("-vv", "trace")])
def test_v_sets_the_log_level(flag: str, level: str) -> None:
    plan, origins = plan_from_argv(["-m", "m", flag], {})
    assert (plan.services.log_level, origins["log_level"]) == (level, flag)


def test_negative_numbers_and_a_dash_are_values() -> None:
    line = read_command_line(["--isl", "-5", "--request-rate", "-.5", "--input-file", "-"])
    assert line.flags == {"--isl": ["-5"], "--request-rate": ["-.5"], "--input-file": ["-"]}


def test_a_value_that_looks_like_a_flag_needs_the_equals_sign() -> None:
    assert read_command_line(["--tokenizer=--x", "-H=-m"]).flags == {"--tokenizer": ["--x"], "-H": ["-m"]}
    assert [problem.origin for problem in read_command_line(["--tokenizer", "--x"]).problems] == ["--tokenizer", "--x"]
    assert [problem.what for problem in read_command_line(["--tokenizer", "-m"]).problems] == ["needs a value"] * 2


def test_a_key_that_starts_with_dashes_is_not_taken_for_a_flag() -> None:
    assert read_command_line(["--api-key", "--sesame", "-H", "-sesame"]).problems == []


@pytest.mark.parametrize(
    ("argv", "origin", "what", "hint"),
    [
        (["--concurency", "5"], "--concurency", "there is no such flag", "Did you mean --concurrency?"),
        (["--concurency=5"], "--concurency", "there is no such flag", "Did you mean --concurrency?"),
        (["-model", "x"], "-model", "there is no such flag", "Did you mean --model?"),
        (["--confg", "x"], "--confg", "there is no such flag", "Did you mean --config?"),
        (["--zzz"], "--zzz", "there is no such flag", "All flags: aiperf profile --help."),
        (["--"], "--", "there is no such flag", ""),
        (["--concurrency"], "--concurrency", "needs a value", "Write --concurrency N"),
        (["--concurrency", "--streaming"], "--concurrency", "needs a value", "Write --concurrency N"),
        (["-f"], "-f", "needs a value", "Write -f FILE"),
        (["--streaming=true"], "--streaming", "takes no value", "Write --streaming alone; --no-streaming"),
        (["--streaming", "true"], "after --streaming", "'true' belongs to no flag", ""),
        (["--concurrency", "1", "--concurrency", "1"], "--concurrency", "is given twice", "Give it once."),
        (["--osl", "1", "--output-tokens-mean", "1"], "--osl", "is given twice", "Give it once."),
        (["-v", "--log-level", "info"], "--log-level", "is given twice, as -v and --log-level", "Give it once."),
        (["--log-level", "info", "-v"], "-v", "is given twice, as --log-level and -v", "Give it once."),
        (["--concurrency", "1,2"], "--concurrency", "a list of values is a sweep", "This version runs one"),
    ],
)
def test_what_is_wrong_with_a_command_line_is_told(argv: list[str], origin: str, what: str, hint: str) -> None:
    problem = the_problem(*argv)
    assert (problem.origin, problem.what) == (origin, what)
    assert problem.hint.startswith(hint)


def test_a_word_before_all_flags_is_told_too() -> None:
    assert problems_of("llama", "-m", "m")[0].what == "'llama' belongs to no flag"


def test_all_problems_are_told_at_once() -> None:
    problems = problems_of("--streaming=1", "--isl", "x", "--zzz", "1", "stray", "--arrival-pattern", "gamma", "--osl")
    assert len(problems) == 7  # the model is missing, too
    assert problems_of("--isl", "x", "--concurrency", "1,2", "-m", "m")[1].what == "a list of values is a sweep"


def test_a_misspelt_flag_is_the_only_complaint_about_its_field() -> None:
    assert [problem.origin for problem in problems_of("--modle", "m")] == ["--modle"]
    assert [problem.origin for problem in problems_of("--model")] == ["--model"]


def test_words_after_an_unquoted_header_are_not_repeated() -> None:
    """`-H Authorization: Bearer sesame` without quotes."""
    problems = problems_of("-m", "m", "-H", "Authorization:", "Bearer", "sesame")
    assert [problem.what for problem in problems] == ["a word belongs to no flag"] * 2


def test_the_value_of_an_unknown_flag_is_not_repeated() -> None:
    for argv in (["--api-kee", "sesame"], ["--api-kee=sesame"]):
        assert "sesame" not in str(the_problem(*argv))


@pytest.mark.parametrize("flag", ["-f", "--config"])
def test_a_file_is_named_by_config(flag: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({"endpoint": {"models": ["m"]}, "load": {"concurrency": 3}}))
    plan, origins = plan_from_argv([flag, str(path)], {"AIPERF_STREAMING": "1"})
    assert (plan.endpoint.models, plan.load.concurrency, plan.endpoint.streaming) == (("m",), 3, True)
    assert origins["concurrency"] == f"{path}: load.concurrency"


def test_two_files_are_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text("load: {}")
    assert the_problem("-f", str(path), "--config", str(path)).what == "is given twice"


words = st.text() | st.sampled_from([*FLAGS, "--config", "-f", "--isl=5", "--x", "-1", "5", "a:1"])


@given(st.lists(words, max_size=8))
def test_any_command_line_gives_a_plan_or_problems(argv: list[str]) -> None:
    try:
        plan, _ = plan_from_argv(argv, {})
    except PlanError as error:
        assert error.problems  # noqa: PT017 - either outcome is right
    else:
        assert plan.endpoint.models
