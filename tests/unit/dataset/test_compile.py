import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aiperf.dataset import compile as compile_module
from aiperf.dataset.compile import CompiledDataset, compile_dataset
from aiperf.dataset.store import NONE_TOKENS, Store
from aiperf.dataset.tokens import open_tokenizer
from aiperf.endpoint.dialect import Delta, RequestContent, RequestOptions
from aiperf.errors import PlanError
from aiperf.plan.plan import Plan
from aiperf.report.inputs_json import write_inputs


class PlainDialect:
    """Bodies that show all they were made of."""

    path = "/plain"

    def request_body(self, content: RequestContent, options: RequestOptions) -> bytes:
        fields: dict[str, Any] = {
            "prompt": self.prompt_text(content),
            "max_tokens": content.max_tokens,
            "model": options.model,
            "stream": options.streaming,
            "legacy": options.use_legacy_max_tokens,
        }
        return json.dumps(fields | dict(options.extra) | dict(content.extra)).encode()

    def prompt_text(self, content: RequestContent) -> str:
        return content.text or "".join(message["content"] for message in content.messages or ())

    def decode_event(self, data: bytes) -> Delta:
        raise NotImplementedError

    def decode_body(self, data: bytes) -> Delta:
        raise NotImplementedError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dataset.store"


def plan(*, endpoint: Mapping[str, Any] | None = None, **inputs: Any) -> Plan:
    return Plan.model_validate(
        {
            "endpoint": {"models": ["a"], **(endpoint or {})},
            "tokenizer": {"tokenizer": "builtin"},
            "input": {"entries_count": 20, "isl_mean_tokens": 40, **inputs},
        }
    )


def compiled(path: Path, chosen: Plan, seed: int = 1) -> tuple[CompiledDataset, list[dict[str, Any]], Store]:
    dataset = compile_dataset(chosen, seed, PlainDialect(), path, lambda _: None)
    store = Store.open(path, verify=True)
    return dataset, [json.loads(store.body(entry)) for entry in range(len(store))], store


def file_with(tmp_path: Path, *lines: Any) -> str:
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(file)


def test_synthetic_entries_have_the_lengths_asked_for(path: Path) -> None:
    dataset, bodies, store = compiled(path, plan(isl_stddev_tokens=10, osl_mean_tokens=30, osl_stddev_tokens=5))
    tokens = open_tokenizer("builtin").count([body["prompt"] for body in bodies])
    assert tokens == [store.isl_tokens(entry) for entry in range(20)]
    assert len(set(tokens)) > 5
    assert [body["max_tokens"] for body in bodies] == [store.requested_osl(entry) for entry in range(20)]
    assert len({body["max_tokens"] for body in bodies}) > 3
    assert (dataset.tokenizer_name, dataset.tokenizer_source, dataset.warnings) == ("builtin", "builtin", ())
    assert dataset.info.entry_count == 20


def test_without_an_output_length_none_is_asked_for(path: Path) -> None:
    _, bodies, store = compiled(path, plan())
    assert {body["max_tokens"] for body in bodies} == {None}
    assert store.requested_osl(0) == NONE_TOKENS


def test_the_same_seed_gives_the_same_store_and_another_seed_another(path: Path) -> None:
    chosen = plan(isl_stddev_tokens=10)
    first, *_ = compiled(path, chosen, seed=1)
    again, *_ = compiled(path, chosen, seed=1)
    other, *_ = compiled(path, chosen, seed=2)
    assert first.info.sha256 == again.info.sha256 != other.info.sha256


def test_an_entry_does_not_depend_on_how_many_there_are(path: Path) -> None:
    shape: dict[str, Any] = {"isl_stddev_tokens": 10, "osl_mean_tokens": 30, "osl_stddev_tokens": 9}
    _, few, _ = compiled(path, plan(**shape, entries_count=3))
    _, many, _ = compiled(path, plan(**shape, entries_count=30))
    assert many[:3] == few


def test_output_lengths_do_not_change_the_prompts(path: Path) -> None:
    _, without, _ = compiled(path, plan())
    _, with_lengths, _ = compiled(path, plan(osl_mean_tokens=30, osl_stddev_tokens=5))
    assert [body["prompt"] for body in with_lengths] == [body["prompt"] for body in without]


def test_entries_take_the_models_in_turn(path: Path) -> None:
    _, bodies, _ = compiled(path, plan(endpoint={"models": ["a", "b", "c"]}, entries_count=7))
    assert [body["model"] for body in bodies] == ["a", "b", "c", "a", "b", "c", "a"]


def test_the_plans_options_reach_the_dialect(path: Path) -> None:
    extra = {"ignore_eos": True, "max_tokens": 99}
    endpoint = {"streaming": True, "use_legacy_max_tokens": True, "extra_inputs": extra}
    _, bodies, store = compiled(path, plan(endpoint=endpoint))
    assert bodies[0]["stream"]
    assert bodies[0]["legacy"]
    assert bodies[0]["ignore_eos"]
    assert store.requested_osl(0) == 99


def test_a_files_lines_win_over_the_plans_output_length(path: Path, tmp_path: Path) -> None:
    file = file_with(
        tmp_path,
        {"text": "one river", "max_tokens": 5, "top_p": 0.5},
        {"messages": [{"role": "user", "content": "two"}]},
    )
    _, bodies, store = compiled(path, plan(input_file=file, osl_mean_tokens=30))
    assert [body["prompt"] for body in bodies] == ["one river", "two"]
    assert [body["max_tokens"] for body in bodies] == [5, 30]
    assert [store.requested_osl(entry) for entry in range(2)] == [5, 30]
    assert bodies[0]["top_p"] == 0.5
    assert [store.isl_tokens(entry) for entry in range(2)] == open_tokenizer("builtin").count(["one river", "two"])


def test_entries_have_names_of_their_own_where_the_file_gives_none(path: Path, tmp_path: Path) -> None:
    file = file_with(tmp_path, {"text": "a"}, {"text": "b", "session_id": "mine"}, {"text": "c"})
    *_, store = compiled(path, plan(input_file=file))
    assert [store.session_id(entry) for entry in range(3)] == ["session_000000", "mine", "session_000002"]


def test_long_files_are_counted_in_order_over_many_batches(path: Path, tmp_path: Path) -> None:
    texts = [f"{position} " + "river " * (6000 * (position % 3)) for position in range(40)]
    *_, store = compiled(path, plan(input_file=file_with(tmp_path, *({"text": text} for text in texts))))
    assert [store.isl_tokens(entry) for entry in range(40)] == open_tokenizer("builtin").count(texts)


def test_a_bad_file_leaves_no_store(path: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="line 2"):
        compiled(path, plan(input_file=file_with(tmp_path, {"text": "a"}, {})))
    assert not path.exists()


def test_inputs_json_of_a_run_is_sent_again_byte_for_byte(path: Path, tmp_path: Path) -> None:
    first, _, store = compiled(path, plan(osl_mean_tokens=30))
    inputs = tmp_path / "inputs.json"
    write_inputs(inputs, ((name, [*map(msgspec.Raw, bodies)]) for name, bodies in store.payloads()))
    again, *_ = compiled(path, plan(input_file=str(inputs)))
    assert again.info.sha256 == first.info.sha256
    assert again.warnings == ()


def test_payloads_that_do_not_fit_the_plan_are_sent_with_a_warning(path: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs.json"
    streamed, unknown = b'{"prompt": "x", "stream": true}', b'{"input": "x"}'
    write_inputs(inputs, [("a", [msgspec.Raw(streamed)]), ("b", [msgspec.Raw(unknown)])])
    dataset, _, store = compiled(path, plan(input_file=str(inputs), osl_mean_tokens=3))
    streaming, without_effect = dataset.warnings
    assert "1 of 2 payloads" in streaming
    assert "--osl" in without_effect
    assert [store.isl_tokens(entry) for entry in range(2)] == [1, NONE_TOKENS]
    assert [store.body(entry) for entry in range(2)] == [streamed, unknown]


class EvenTokenizer:
    """One token a word, yet never an odd number above 2."""

    name, source, vocabulary_size = "even", "even", 1

    def count(self, texts: Sequence[str]) -> list[int]:
        lengths = [len(text.split()) for text in texts]
        return [length + length % 2 if length > 2 else length for length in lengths]

    def encode(self, text: str) -> list[int]:
        return [0] * len(text.split())

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join("a" for _ in ids)


def test_prompts_off_their_length_are_told_and_stored_with_their_true_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile_module, "load_tokenizer", lambda plan, warn: EvenTokenizer())
    dataset, _, store = compiled(path, plan(isl_mean_tokens=31))
    (warning,) = dataset.warnings
    assert warning.startswith("20 of 20 prompts are up to 1 tokens off")
    assert {store.isl_tokens(entry) for entry in range(20)} <= {30, 32}
