import json
from collections.abc import Callable

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from aiperf.dataset import words
from aiperf.dataset.synthetic import Prompt, PromptWriter
from aiperf.dataset.tokens import FileTokenizer, open_tokenizer
from aiperf.errors import PlanError

TEXT = [f"{s} {p} {e}" for s, p, e in zip(words.SUBJECTS, words.PREDICATES, words.ENDINGS, strict=False)]


def builtin() -> FileTokenizer:
    return open_tokenizer("builtin")


def byte_level_without_merges() -> tokenizers.Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    rules = tokenizers.Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rules.decoder = decoders.ByteLevel()
    return rules


def merges_across_words() -> tokenizers.Tokenizer:
    """BPE without a pre-tokenizer: tokens such as "e the" cross words."""
    rules = tokenizers.Tokenizer(models.BPE())
    rules.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=600, show_progress=False, max_token_length=9))
    return rules


def sentencepiece_bpe() -> tokenizers.Tokenizer:
    """As Llama 2: a prefix mark on the text, spaces as marks, bytes for what is unknown, `<s>` in front."""
    rules = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    rules.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    rules.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    rules.train_from_iterator(
        TEXT[:80], trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False, max_token_length=6)
    )
    rules.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return rules


def wordpiece() -> tokenizers.Tokenizer:
    """As BERT: lower case, `##` continuations, `[CLS]` and `[SEP]` around, cut off and filled up to a length."""
    rules = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    rules.normalizer = normalizers.BertNormalizer()
    rules.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rules.decoder = decoders.WordPiece()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
    rules.train_from_iterator(
        TEXT[:50], trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    )
    rules.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    rules.enable_truncation(16)
    rules.enable_padding(length=16)
    return rules


def unigram() -> tokenizers.Tokenizer:
    rules = tokenizers.Tokenizer(models.Unigram())
    rules.normalizer = normalizers.NFKC()
    rules.pre_tokenizer = pre_tokenizers.Metaspace()
    rules.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    rules.train_from_iterator(TEXT, trainer)
    return rules


def word_level() -> tokenizers.Tokenizer:
    rules = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0, "the": 1, "river": 2, "so": 3}, unk_token="[UNK]"))
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    return rules


def foreign_characters_only() -> tokenizers.Tokenizer:
    """Makes nothing at all of English text."""
    return tokenizers.Tokenizer(models.BPE(vocab={"水": 0, "火": 1, "木": 2}, merges=[]))


KINDS = [
    byte_level_without_merges, merges_across_words, sentencepiece_bpe, wordpiece, unigram, word_level,
    foreign_characters_only,
]  # fmt: skip


def as_tokenizer(rules: tokenizers.Tokenizer) -> FileTokenizer:
    return FileTokenizer(rules.to_str(), name="test", source="test")


WRITERS = {"builtin": (builtin(), PromptWriter(builtin()))} | {
    kind.__name__: (tokenizer := as_tokenizer(kind()), PromptWriter(tokenizer)) for kind in KINDS
}


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lengths=st.lists(st.integers(1, 400), min_size=1, max_size=4), seed=st.integers(0, 2**63))
def test_prompts_have_exactly_the_asked_length(kind: str, lengths: list[int], seed: int) -> None:
    tokenizer, writer = WRITERS[kind]
    prompts = list(writer.prompts(lengths, seed=seed))
    assert [prompt.tokens for prompt in prompts] == lengths
    assert tokenizer.count([prompt.text for prompt in prompts]) == lengths


@pytest.mark.parametrize("kind", WRITERS)
def test_prompts_of_every_short_length_are_exact(kind: str) -> None:
    tokenizer, writer = WRITERS[kind]
    lengths = list(range(1, 41))
    assert tokenizer.count([prompt.text for prompt in writer.prompts(lengths, seed=1)]) == lengths


def test_a_prompt_does_not_depend_on_how_many_there_are() -> None:
    _, writer = WRITERS["builtin"]
    few = list(writer.prompts([30] * 3, seed=5))
    # Enough that they are written in more than one batch.
    many = list(writer.prompts([30] * 4000, seed=5))
    assert many[:3] == few


def test_prompts_differ_between_entries_and_between_seeds() -> None:
    _, writer = WRITERS["builtin"]
    prompts = [prompt.text for seed in (1, 2) for prompt in writer.prompts([60] * 200, seed=seed)]
    assert len(set(prompts)) == 400


def test_prompts_do_not_share_their_first_tokens() -> None:
    """A server's prefix cache works in blocks of some 16 tokens."""
    tokenizer, writer = WRITERS["builtin"]
    starts = {tuple(tokenizer.encode(prompt.text)[:16]) for prompt in writer.prompts([60] * 500, seed=1)}
    assert len(starts) > 495


def test_prompts_are_sentences_of_words() -> None:
    _, writer = WRITERS["builtin"]
    (prompt,) = writer.prompts([100], seed=1)
    vocabulary = {w for text in (*words.SUBJECTS, *words.PREDICATES, *words.ENDINGS) for w in text.split()}
    assert set(prompt.text.split()) <= vocabulary | set(words.SINGLE_WORDS)
    assert prompt.text.count(".") >= 4


class TwoTokensPerCharacter:
    """No text of it has an odd count."""

    name, source, vocabulary_size = "even", "even", 2

    def count(self, texts: list[str]) -> list[int]:
        return [2 * len(text) for text in texts]

    def encode(self, text: str) -> list[int]:
        return [0, 1] * len(text)

    def decode(self, ids: list[int]) -> str:
        return "ab"


def test_a_tokenizer_without_any_one_token_text_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match="single token under the tokenizer even"):
        PromptWriter(TwoTokensPerCharacter())


class Prefixing(TwoTokensPerCharacter):
    """Words as tokens, yet a text with a full stop gets another token: sums of phrases are always off."""

    def __init__(self, surplus: Callable[[str], int]) -> None:
        self.surplus = surplus

    def count(self, texts: list[str]) -> list[int]:
        return [len(text.split()) + self.surplus(text) for text in texts]


def test_drafts_that_are_off_are_mended() -> None:
    writer = PromptWriter(Prefixing(lambda text: 3 if text.count(".") > 2 else 0))
    assert [prompt.tokens for prompt in writer.prompts([50, 51, 200], seed=1)] == [50, 51, 200]


def test_a_prompt_that_cannot_be_mended_states_its_true_length() -> None:
    writer = PromptWriter(Prefixing(lambda text: len(text.split()) % 2 if len(text.split()) > 4 else 0))
    (prompt,) = writer.prompts([51], seed=1)
    assert prompt == Prompt(prompt.text, 50) or prompt == Prompt(prompt.text, 52)


def test_the_test_tokenizers_would_count_special_tokens() -> None:
    rules = tokenizers.Tokenizer.from_str(wordpiece().to_str())
    assert len(rules.encode("the river").ids) == 16
    assert json.loads(wordpiece().to_str())["truncation"] is not None
