import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiperf.errors import PlanError, Problem
from aiperf.plan.dumps import public_dump
from aiperf.plan.fields import FIELD_BY_NAME, FIELDS, Kind, PlanField
from aiperf.plan.layers import FlagValues, draft_plan, read_plan
from aiperf.plan.origins import DEFAULT
from aiperf.plan.plan import SWEEPABLE, Plan

MODEL: dict[str, list[str] | bool] = {"--model": ["m"]}

SPECIAL_TEXTS = {
    "urls": "http://a:1,https://b",
    "endpoint_path": "/v2",
    "headers": "X-A:1",
    "extra_inputs": "n:[1, 2]",
    "goodput": "request_latency:250",
    "node_ip": "10.0.0.1",
    "expected_ttft": "500ms",
    "calibrate_ttft": "500ms",
    "calibrate_itl": "30ms",
    "expected_itl": "0.03s",
    "source_addresses": "127.0.0.2-127.0.0.9",
    "tolerations": "gpu=yes:NoSchedule,spot",
    **{field.name: "2" for field in FIELDS if field.name.endswith("_cpu")},
    **{field.name: "2Gi" for field in FIELDS if field.name.endswith("_memory")},
    **{field.name: "team=perf" for field in FIELDS if field.kind is Kind.PAIRS},
}


def text_for(field: PlanField) -> str:
    """A text for the field that is not its default, where it can be anything else."""
    match field.kind:
        case Kind.SWITCH:
            return "false" if field.default else "true"
        case Kind.CHOICE:
            return next((choice for choice in field.choices if choice != field.default), field.choices[0])
        case Kind.INTEGER:
            return "7"
        case Kind.NUMBER:
            return "2.5"
        case _:
            return SPECIAL_TEXTS.get(field.name, "some-text")


def flag_for(field: PlanField) -> dict[str, list[str] | bool]:
    return {field.flag: True} if field.kind is Kind.SWITCH else {field.flag: [text_for(field)]}


def document_for(field: PlanField) -> Any:
    """What a person would write in YAML."""
    text = text_for(field)
    match field.kind:
        case Kind.SWITCH | Kind.INTEGER | Kind.NUMBER:
            return yaml.safe_load(text)
        case Kind.LIST:
            return text.split(",")
        case Kind.HEADERS:
            return {"X-A": "1"}
        case Kind.BODY:
            return {"n": [1, 2]}
        case Kind.PAIRS:
            return {"team": "perf"}
        case _:
            return text


def config(tmp_path: Path, **sections: Any) -> Path:
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump(sections))
    return path


def value_of(plan: Plan, field: PlanField) -> Any:
    return getattr(getattr(plan, field.section), field.name)


def problems_of(
    flags: FlagValues, environ: dict[str, str] | None = None, config_path: Path | None = None
) -> tuple[Problem, ...]:
    with pytest.raises(PlanError) as caught:
        read_plan(flags, environ or {}, config_path)
    return caught.value.problems


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_field_has_the_same_value_by_flag_environment_and_file(field: PlanField, tmp_path: Path) -> None:
    model = {} if field.name == "models" else MODEL
    path = config(tmp_path, **{field.section: {field.name: document_for(field)}})
    by_flag = draft_plan({**model, **flag_for(field)}, {})
    by_environment = draft_plan(model, {field.env_name: text_for(field)})
    by_file = draft_plan(model, {}, path)
    by_exported_file = draft_plan(model, {}, config(tmp_path, **{field.section: {field.name: text_for(field)}}))
    assert value_of(by_flag.plan, field) == value_of(by_environment.plan, field)
    assert value_of(by_flag.plan, field) == value_of(by_file.plan, field) == value_of(by_exported_file.plan, field)
    assert not by_flag.broken | by_environment.broken | by_file.broken
    assert value_of(by_flag.plan, field) != field.default or len(field.choices) == 1
    assert by_flag.origins[field.name] == field.flag
    assert by_environment.origins[field.name] == field.env_name
    if len(field.choices) != 1:
        assert by_file.origins[field.name] == f"{path}: {field.key}"


@pytest.mark.parametrize("field", [field for field in FIELDS if field.kind is not Kind.SWITCH], ids=lambda f: f.name)
def test_an_empty_value_is_a_problem(field: PlanField, tmp_path: Path) -> None:
    model = {} if field.name == "models" else MODEL
    for draft in (
        draft_plan({**model, field.flag: [" "]}, {}),
        draft_plan(model, {}, config(tmp_path, **{field.section: {field.name: ""}})),
    ):
        assert [problem.what for problem in draft.problems] == ["the value is empty"]


def test_an_empty_environment_variable_counts_as_unset() -> None:
    plan, origins = read_plan(MODEL, {"AIPERF_CONCURRENCY": "", "AIPERF_API_KEY": " "})
    assert (plan.load.concurrency, plan.endpoint.api_key) == (None, None)
    assert origins["concurrency"] == DEFAULT


def test_flags_win_over_the_environment_and_that_over_the_file_and_that_over_defaults(tmp_path: Path) -> None:
    path = config(tmp_path, load={"concurrency": 2, "request_count": 2, "duration_s": 2})
    environ = {"AIPERF_CONCURRENCY": "3", "AIPERF_REQUEST_COUNT": "3"}
    plan, origins = read_plan({**MODEL, "--concurrency": ["4"]}, environ, path)
    load = plan.load
    assert (load.concurrency, load.request_count, load.duration_s, load.grace_period_s) == (4, 3, 2, 30)
    assert {name: origins[name] for name in ("concurrency", "request_count", "duration_s", "grace_period_s")} == {
        "concurrency": "--concurrency",
        "request_count": "AIPERF_REQUEST_COUNT",
        "duration_s": f"{path}: load.duration_s",
        "grace_period_s": "default",
    }


def test_an_origin_is_the_spelling_that_was_used() -> None:
    _, origins = read_plan({"-m": ["m"], "--no-streaming": True, "-vv": True}, {})
    assert (origins["models"], origins["streaming"], origins["log_level"]) == ("-m", "--no-streaming", "-vv")


def test_what_is_replaced_is_not_judged() -> None:
    plan, _ = read_plan({**MODEL, "--concurrency": ["4"]}, {"AIPERF_CONCURRENCY": "many"})
    assert plan.load.concurrency == 4


def test_a_later_layer_replaces_lists_and_headers_whole(tmp_path: Path) -> None:
    path = config(tmp_path, endpoint={"models": ["a", "b"], "headers": {"X-A": "1"}})
    plan, _ = read_plan({"--model": ["c"], "-H": ["X-B:2"]}, {}, path)
    assert (plan.endpoint.models, plan.endpoint.headers) == (("c",), {"X-B": "2"})


def test_repeated_values_add_up_over_all_spellings() -> None:
    plan, _ = read_plan({"--model": ["a,b", "c"], "-m": ["d"], "-H": ["X-A:1"], "--header": ["X-B:2"]}, {})
    assert plan.endpoint.models == ("a", "b", "c", "d")
    assert plan.endpoint.headers == {"X-A": "1", "X-B": "2"}


@pytest.mark.parametrize("text", ["true", "True", "1", "yes", "on"])
def test_a_switch_is_turned_on_by_usual_words(text: str) -> None:
    assert read_plan(MODEL, {"AIPERF_STREAMING": text})[0].endpoint.streaming


@pytest.mark.parametrize("text", ["false", "0", "no", "off"])
def test_a_switch_is_turned_off_by_usual_words(text: str, tmp_path: Path) -> None:
    path = config(tmp_path, endpoint={"streaming": True})
    assert not read_plan(MODEL, {"AIPERF_STREAMING": text}, path)[0].endpoint.streaming


@pytest.mark.parametrize("name", sorted(SWEEPABLE))
def test_a_comma_separated_list_is_a_sweep_and_a_list_of_one_is_none(name: str, tmp_path: Path) -> None:
    field = FIELD_BY_NAME[name]
    by_flag = read_plan({**MODEL, field.flag: ["1, 10,100"]}, {})[0]
    by_file = read_plan(MODEL, {}, config(tmp_path, **{field.section: {name: [1, 10, 100]}}))[0]
    alone = read_plan(MODEL, {}, config(tmp_path, **{field.section: {name: [5]}}))[0]
    assert value_of(by_flag, field) == value_of(by_file, field) == (1, 10, 100)
    assert value_of(alone, field) == value_of(read_plan({**MODEL, field.flag: ["5,"]}, {})[0], field) == 5


@pytest.mark.parametrize(
    "field", [field for field in FIELDS if field.kind in (Kind.INTEGER, Kind.NUMBER)], ids=lambda field: field.name
)
def test_no_number_is_without_a_most(field):
    """A clock in ns, a 64-bit column and this machine's memory all end somewhere."""
    with pytest.raises(PlanError) as caught:
        read_plan({**MODEL, field.flag: ["1" + "0" * 20]}, {})
    assert [problem.origin for problem in caught.value.problems] == [field.flag]
    assert "is too much: " in caught.value.problems[0].what


@pytest.mark.parametrize(
    ("flags", "what", "hint"),
    [
        ({"--concurrency": ["x"]}, "'x' is not a whole number above 0", ""),
        ({"--concurrency": ["0"]}, "'0' is not a whole number above 0", ""),
        ({"--concurrency": ["1.5"]}, "'1.5' is not a whole number above 0", ""),
        ({"--concurrency": ["1,-2,3"]}, "'-2' is not a whole number above 0", ""),
        ({"--request-rate": ["inf"]}, "'inf' is not a number above 0", ""),
        ({"--request-rate": ["nan"]}, "'nan' is not a number above 0", ""),
        ({"--benchmark-grace-period": ["-1"]}, "'-1' is not a number, 0 or more", ""),
        ({"--request-rate": ["1e-300"]}, "'1e-300' is too little: 1e-06 at least", ""),
        ({"--request-rate": ["1,1e10"]}, "'1e10' is too much: 10,000,000 at most", ""),
        ({"--concurrency": ["1" + "0" * 20]}, "is too much: 1,000,000,000,000 at most", ""),
        ({"--arrival-pattern": ["Gama"]}, "'Gama' is not one of poisson, constant, gamma", "Did you mean gamma?"),
        ({"--url": ["localhost"]}, "'localhost' has no scheme: write http://localhost or https://localhost", ""),
        ({"--concurrency": [","]}, "the list is empty", ""),
        ({"--tokenizer": ["a", "b"]}, "is given twice", "Give it once."),
        ({"--duration": ["1"], "--benchmark-duration": ["1"]}, "is given twice, as --duration and", "Give it once."),
        ({"--streaming": True, "--no-streaming": True}, "is given twice, as --streaming and --no-streaming", ""),
        ({"--concurency": ["1"]}, "there is no such flag", "Did you mean --concurrency?"),
        ({"--isl": ["x" * 80]}, "…", ""),
    ],
)
def test_a_wrong_value_is_told_in_the_fields_words(flags: dict[str, list[str] | bool], what: str, hint: str) -> None:
    (problem,) = problems_of({**MODEL, **flags})
    assert what in problem.what
    assert problem.hint.startswith(hint)
    assert problem.origin in flags


@pytest.mark.parametrize(
    ("sections", "what"),
    [
        ({"load": {"concurrency": True}}, "true and false are not a whole number above 0"),
        ({"load": {"concurrency": {"a": 1}}}, "is not a whole number above 0"),
        ({"load": {"concurrency": [1, "x"]}}, "'x' is not a whole number above 0"),
        ({"load": {"concurrency": [1, False]}}, "true and false are not a whole number above 0"),
        ({"load": {"request_count": [1, 2]}}, "is not a whole number above 0"),
        ({"load": {"request_count": 1.5}}, "1.5 is not a whole number above 0"),
        ({"endpoint": {"streaming": "perhaps"}}, "'perhaps' is not true or false"),
        ({"endpoint": {"models": [1]}}, "put it in quotes"),
        ({"endpoint": {"models": []}}, "the list is empty"),
        ({"endpoint": {"models": ["a", " "]}}, "the value is empty"),
        ({"endpoint": {"urls": ["http://a", "b"]}}, "'b' has no scheme"),
        ({"endpoint": {"headers": {"X-A": 1}}}, "the value is not NAME:VALUE or an object"),
        ({"endpoint": {"headers": ["X-A"]}}, "the value is not NAME:VALUE or an object"),
        ({"endpoint": {"extra_inputs": 5}}, "5 is not KEY:VALUE or an object"),
        ({"tokenizer": {"tokenizer_revision": 123}}, "put it in quotes"),
        ({"tokenizer": {"tokenizer": ["a", "b"]}}, "is not text"),
    ],
)
def test_a_wrong_value_of_a_file_is_told_with_its_key(sections: dict[str, Any], what: str, tmp_path: Path) -> None:
    path = config(tmp_path, **sections)
    flags = {} if "models" in sections.get("endpoint", {}) else MODEL
    (problem,) = problems_of(flags, config_path=path)
    ((section, settings),) = sections.items()
    assert what in problem.what
    assert problem.origin == f"{path}: {section}.{next(iter(settings))}"


def test_all_problems_of_all_layers_are_told_at_once(tmp_path: Path) -> None:
    path = config(tmp_path, load={"concurency": 1, "duration_s": "long"}, warmup={"warmup_concurrency": 2})
    environ = {"AIPERF_ENDPOINT_TYPE": "chats", "AIPERF_DURATION": "5"}
    flags: FlagValues = {"--request-rate": ["0"], "--isl": ["1,x,y"], "--no-such-thing": ["1"]}
    problems = problems_of(flags, environ, path)
    assert {problem.origin for problem in problems} == {
        f"{path}: load.concurency",
        f"{path}: load.duration_s",
        f"{path}: warmup.warmup_concurrency",
        "AIPERF_DURATION",
        "AIPERF_ENDPOINT_TYPE",
        "--request-rate",
        "--isl",
        "--no-such-thing",
        "",  # the model is missing
    }
    assert len([problem for problem in problems if problem.origin == "--isl"]) == 2


def test_a_missing_model_is_a_problem_with_all_ways_to_give_one() -> None:
    (problem,) = problems_of({})
    assert problem.what == "no model to ask for was given"
    assert all(way in problem.hint for way in ("--model", "AIPERF_MODELS", "endpoint.models"))


def test_a_misspelt_model_is_not_called_missing_too(tmp_path: Path) -> None:
    assert [problem.origin for problem in problems_of({}, {"AIPERF_MODEL": "m"})] == ["AIPERF_MODEL"]
    assert len(problems_of({}, {}, config(tmp_path, endpoint={"model": "m"}))) == 1
    assert len(problems_of({}, {}, tmp_path / "nowhere.yaml")) == 1


def test_a_file_that_cannot_be_read_hides_no_other_problem(tmp_path: Path) -> None:
    flags: FlagValues = {"--concurrency": ["x"], "--input-file": ["nowhere.jsonl"], "--arrival-pattern": ["gamma"]}
    problems = problems_of(flags, {"AIPERF_DURATION": "5"}, tmp_path / "nowhere.yaml")
    assert [problem.origin for problem in problems] == [
        f"--config {tmp_path}/nowhere.yaml",
        "AIPERF_DURATION",
        "--concurrency",
        "--input-file",
    ]


def test_a_misspelt_section_hides_no_problem_of_its_settings_elsewhere(tmp_path: Path) -> None:
    problems = problems_of({**MODEL, "--concurrency": ["x"]}, {}, config(tmp_path, laod={"concurrency": 1}))
    assert [problem.origin for problem in problems] == [f"{tmp_path}/bench.yaml: laod", "--concurrency"]


def test_no_consequence_of_a_wrong_value_is_told() -> None:
    """The smoothness would fit, had the pattern been spelt right."""
    (problem,) = problems_of(
        {**MODEL, "--request-rate": ["1"], "--arrival-pattern": ["gama"], "--arrival-smoothness": ["2"]}
    )
    assert problem.origin == "--arrival-pattern"


def test_variables_of_other_programs_are_left_alone() -> None:
    plan, _ = read_plan(MODEL, {"AIPERF_WORKER_COLOUR": "blue", "CONCURRENCY": "4", "PATH": "/bin"})
    assert plan.load.concurrency is None


@pytest.mark.parametrize("variable", ["AIPERF_MODEL", "AIPERF_CONCURENCY", "AIPERF_URL", "AIPERF_REQUEST_RATES"])
def test_a_near_miss_of_a_variable_is_a_problem(variable: str) -> None:
    (problem,) = problems_of(MODEL, {variable: "1"})
    assert problem.origin == variable
    assert problem.hint.startswith("Did you mean AIPERF_")


def test_an_exported_plan_is_a_configuration_file(tmp_path: Path) -> None:
    flags: FlagValues = {
        **MODEL, "--concurrency": ["1,2"], "--request-rate": ["3"], "--input-file": [str(tmp_path / "in.jsonl")],
        "--extra-inputs": ['{"a": {"b": [1, null]}}'], "-H": ["X-A:1"], "--tokenizer": ["builtin"],
    }  # fmt: skip
    (tmp_path / "in.jsonl").write_text('{"text": "Hello"}')
    plan, origins = read_plan(flags, {})
    for name, text in {"export.json": json.dumps, "export.yaml": yaml.safe_dump}.items():
        (tmp_path / name).write_text(text(public_dump(plan)))
        again, new_origins = read_plan({}, {}, tmp_path / name)
        assert again == plan
        assert {field for field, origin in new_origins.items() if origin == DEFAULT} == {
            field for field, origin in origins.items() if origin == DEFAULT
        }


def test_a_masked_secret_must_be_given_again(tmp_path: Path) -> None:
    plan, _ = read_plan({**MODEL, "--api-key": ["sesame"], "-H": ["X-Token:sesame"]}, {})
    path = tmp_path / "export.json"
    path.write_text(json.dumps(public_dump(plan)))
    problems = problems_of({}, {}, path)
    assert [problem.origin for problem in problems] == [f"{path}: endpoint.api_key", f"{path}: endpoint.headers"]
    again, _ = read_plan({"-H": ["X-Token:sesame"]}, {"AIPERF_API_KEY": "sesame"}, path)
    assert again == plan


@pytest.mark.parametrize(
    "flags",
    [
        {"--api-key": ["se same"]},
        {"--api-key": ["sesame", "sesame2"]},
        {"-H": ["Authorization Bearer sesame"]},
        {"-H": ['{"Authorization": "sesame}']},
        {"-H": ["X Y:sesame"]},
        {"-H": ["X-Y:sesame\r\nZ: sesame"]},
        {"--url": ["http://anna:sesame@host"]},
        {"--api-key": ["sesame"], "-H": ["authorization:Bearer sesame"]},
    ],
)
def test_no_problem_tells_a_secret(flags: dict[str, list[str] | bool]) -> None:
    text = "\n".join(map(str, problems_of({**MODEL, **flags})))
    assert "same" not in text


@pytest.mark.parametrize("value", [5, ["sesame"], {"sesame": 1}])
def test_no_problem_of_a_file_tells_a_secret(value: Any, tmp_path: Path) -> None:
    for name in ("api_key", "headers"):
        (problem,) = problems_of(MODEL, {}, config(tmp_path, endpoint={name: value if name == "api_key" else [value]}))
        assert "sesame" not in str(problem)


def test_the_plan_is_frozen() -> None:
    plan, _ = read_plan(MODEL, {})
    with pytest.raises(ValueError, match="frozen"):
        plan.load.concurrency = 5  # type: ignore[misc]


def test_the_example_is_a_plan() -> None:
    example = Path(__file__).parents[3] / "examples" / "quick.yaml"
    plan, origins = read_plan(MODEL, {}, example)
    assert plan.load.concurrency == 4
    assert origins["concurrency"].endswith("quick.yaml: load.concurrency")
