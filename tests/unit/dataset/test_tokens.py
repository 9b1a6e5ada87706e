import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from aiperf.dataset import hub
from aiperf.dataset.tokens import BUILTIN, FileTokenizer, TokenizerError, load_tokenizer, open_tokenizer
from aiperf.errors import ExitCode, PlanError
from aiperf.plan.plan import Plan

ENGLISH = (
    "When the committee met on Tuesday, its members could not agree on whether the bridge should be repaired or "
    "replaced. Some argued that the cost of a new crossing would be too high for the town, while others pointed out "
    "that the old structure had already been closed twice this year because of safety concerns."
)


def plan(model: str = "mock", **tokenizer: Any) -> Plan:
    return Plan.model_validate({"endpoint": {"models": [model]}, "tokenizer": tokenizer})


def words_content() -> str:
    """A tokenizer with one token a word that puts `<s>` in front, cuts at 4 tokens and fills up to 4."""
    rules = tokenizers.Tokenizer(models.WordLevel({"<s>": 0, "[UNK]": 1, "river": 2}, unk_token="[UNK]"))
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    rules.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    rules.enable_truncation(4)
    rules.enable_padding(length=4)
    content: str = rules.to_str()
    return content


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the hub was asked for; it has nothing."""
    names: list[tuple[str, str]] = []

    def ask(repository: str, revision: str) -> Path:
        names.append((repository, revision))
        raise hub.HubError("the hub is not there")

    monkeypatch.setattr(hub, "cached_file", lambda repository, revision: None)
    monkeypatch.setattr(hub, "downloaded_file", ask)
    return names


def test_builtin_takes_about_four_characters_of_english_a_token() -> None:
    (tokens,) = open_tokenizer(BUILTIN).count([ENGLISH])
    assert 3.5 < len(ENGLISH) / tokens < 4.5


@pytest.mark.parametrize("text", ["", " ", "naïve\n\tcafé", "水 🚀", "\x00\x7f", ENGLISH])
def test_builtin_decodes_what_it_encodes(text: str) -> None:
    tokenizer = open_tokenizer(BUILTIN)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_counts_are_lengths_of_encodings_in_order() -> None:
    tokenizer = open_tokenizer(BUILTIN)
    texts = [ENGLISH, "", "one two", "水"]
    assert tokenizer.count(texts) == [len(tokenizer.encode(text)) for text in texts]
    assert tokenizer.count([]) == []


def test_special_tokens_cuts_and_filling_do_not_enter_counts() -> None:
    tokenizer = FileTokenizer(words_content(), name="words", source="words")
    assert tokenizer.count(["river", "a b c d e f g", ""]) == [1, 7, 0]


def test_a_tokenizer_opens_again_from_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer.json").write_text(words_content())
    monkeypatch.chdir(tmp_path)
    loaded = load_tokenizer(plan(tokenizer="tokenizer.json"), pytest.fail)
    monkeypatch.chdir("/")
    again = open_tokenizer(loaded.source)
    assert again.count(["a river"]) == loaded.count(["a river"]) == [2]
    assert open_tokenizer(open_tokenizer(BUILTIN).source).name == BUILTIN


@pytest.mark.parametrize("name", ["folder", "folder/tokenizer.json"])
def test_a_file_or_its_folder_is_a_tokenizer(name: str, tmp_path: Path, asked: list[tuple[str, str]]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/tokenizer.json").write_text(words_content())
    for chosen in (plan(tokenizer=str(tmp_path / name)), plan(model=str(tmp_path / name))):
        tokenizer = load_tokenizer(chosen, pytest.fail)
        assert tokenizer.name == str(tmp_path / name)
        assert tokenizer.source == str(tmp_path / "folder/tokenizer.json")
    assert asked == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("./missing", "there is no such file or folder"),
        ("a/b/c", "there is no such file or folder"),
        (".", "this folder has no tokenizer.json"),
        ("words.json", "is no tokenizer file"),
        ("latin.json", "cannot be read"),
        ("org/model", "the hub is not there"),
    ],
)
def test_a_tokenizer_asked_for_and_not_found_is_wrong_usage(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.json").write_text('{"words": 1}')
    Path("latin.json").write_bytes(b"\xff")
    with pytest.raises(PlanError) as caught:
        load_tokenizer(plan(tokenizer=name), pytest.fail)
    assert caught.value.exit_code == ExitCode.USAGE
    (problem,) = caught.value.problems
    assert problem.origin == "--tokenizer"
    assert reason in problem.what
    assert repr(name) in problem.what


@pytest.mark.parametrize("model", ["mock", "./models/x", "/models/x", "my model", "org/model", "gpt2"])
def test_a_model_without_a_tokenizer_is_counted_by_builtin_with_one_warning(
    model: str, asked: list[tuple[str, str]]
) -> None:
    warnings: list[str] = []
    assert load_tokenizer(plan(model), warnings.append).name == BUILTIN
    (warning,) = warnings
    assert model in warning
    assert "--tokenizer" in warning
    assert "\n" not in warning


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (plan("mock"), []),
        (plan("gpt2"), [("gpt2", "main")]),
        (plan("org/model", tokenizer_revision="v2"), [("org/model", "v2")]),
        (plan("./org"), []),
    ],
)
def test_the_hub_is_asked_only_for_names_it_may_have(
    chosen: Plan, expected: list[tuple[str, str]], asked: list[tuple[str, str]]
) -> None:
    load_tokenizer(chosen, lambda _: None)
    assert asked == expected


def test_a_plain_word_given_as_tokenizer_is_looked_up(asked: list[tuple[str, str]]) -> None:
    with pytest.raises(PlanError):
        load_tokenizer(plan("mock", tokenizer="my-tokenizer"), pytest.fail)
    assert asked == [("my-tokenizer", "main")]


def test_a_cached_tokenizer_needs_no_hub(
    tmp_path: Path, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text(words_content())
    monkeypatch.setattr(hub, "cached_file", lambda repository, revision: file)
    tokenizer = load_tokenizer(plan("mock", tokenizer_revision="v2"), pytest.fail)
    assert (tokenizer.name, tokenizer.source) == ("mock@v2", str(file))
    assert asked == []


def test_several_models_without_a_tokenizer_share_that_of_the_first(asked: list[tuple[str, str]]) -> None:
    several = Plan.model_validate({"endpoint": {"models": ["one", "two"]}})
    warnings: list[str] = []
    load_tokenizer(several, warnings.append)
    assert any("first, one" in warning for warning in warnings)


def test_what_is_no_tokenizer_is_refused() -> None:
    for content in ("", "[]", json.dumps({"model": {"type": "BPE"}}), words_content()[:-2]):
        with pytest.raises(TokenizerError, match="is no tokenizer file"):
            FileTokenizer(content, name="x", source="x.json")
