"""Synthetic prompts: readable text of exactly so many tokens under the tokenizer in use.

Owns: composing text to a length and proving the length by counting the whole text. Does not own: the words (`words`),
which lengths are wanted (`lengths`), tokenizing (`tokens`).

Phrases are counted once, each after another word. A draft is sentences while their tokens fit, then one-token words up
to the length. Under nearly every tokenizer of text with spaces that sum is the count of the whole. Merges across words,
prefixes and normalizers may make it otherwise: so every draft is counted as a whole, and one that is off is mended in
small steps towards its length, each again counted as a whole.
"""

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from aiperf.dataset import words
from aiperf.dataset.tokens import Tokenizer
from aiperf.errors import PlanError, Problem

_BATCH_TOKENS = 50_000
"""Prompts of about so many tokens are counted at once: enough to keep the cores busy. Larger batches were slower."""
_MENDING_STEPS = 40
_CANDIDATES = 16
_END_CHARACTERS = 400
_ANCHOR = "so"
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,"
_SCANNED_IDS = 4096


class Prompt(NamedTuple):
    text: str
    tokens: int
    """As counted; other than asked for only where mending found no such text."""


class Phrase(NamedTuple):
    text: str
    tokens: int


class PromptWriter:
    """Writes prompts of exact lengths for one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Raises: PlanError if the tokenizer makes nothing of any text."""
        self._tokenizer = tokenizer
        self._subjects = self._measured(words.SUBJECTS)
        self._predicates = self._measured(words.PREDICATES)
        self._endings = self._measured(words.ENDINGS)
        self._openers, self._fillers = self._one_token_pieces()
        self._any_pieces = [*(f" {word}" for word in words.SINGLE_WORDS), *_CHARACTERS]

    def prompts(self, lengths_tokens: Iterable[int], *, seed: int) -> Iterator[Prompt]:
        """A prompt for each length. Order: as the lengths.

        Prompt i depends on the seed, i and its length alone, not on how many there are.
        """
        batch: list[tuple[int, int]] = []
        batch_tokens = 0
        for entry_index, length in enumerate(lengths_tokens):
            batch.append((entry_index, length))
            batch_tokens += length
            if batch_tokens >= _BATCH_TOKENS:
                yield from self._written(batch, seed)
                batch, batch_tokens = [], 0
        yield from self._written(batch, seed)

    def _written(self, batch: Sequence[tuple[int, int]], seed: int) -> Iterator[Prompt]:
        generators = [Random(f"{seed}/prompt/{entry_index}") for entry_index, _ in batch]
        drafts = [self._draft(length, generator) for (_, length), generator in zip(batch, generators, strict=True)]
        counts = self._tokenizer.count(drafts)
        for (_, length), generator, text, tokens in zip(batch, generators, drafts, counts, strict=True):
            draft = Prompt(text, tokens)
            yield draft if tokens == length else self._mended(draft, length, generator)

    def _draft(self, length: int, generator: Random) -> str:
        subjects, predicates, endings, draw = self._subjects, self._predicates, self._endings, generator.random
        sentences: list[str] = []
        missing = length
        while subjects and predicates and endings:
            subject, subject_tokens = subjects[int(draw() * len(subjects))]
            predicate, predicate_tokens = predicates[int(draw() * len(predicates))]
            ending, ending_tokens = endings[int(draw() * len(endings))]
            tokens = subject_tokens + predicate_tokens + ending_tokens
            if tokens > missing:
                break
            sentences.append(f"{subject} {predicate} {ending}")
            missing -= tokens
        start = " ".join(sentences)
        if not start:
            start = generator.choice(self._openers)
            missing -= 1
        return start + "".join(generator.choices(self._fillers, k=missing))

    def _mended(self, draft: Prompt, length: int, generator: Random) -> Prompt:
        """The draft brought to its length by small changes at its end, or as near to it as they lead.

        Many ends are tried on a short piece of the text and the most promising on the whole, which may be long.
        """
        best = draft
        for _ in range(_MENDING_STEPS):
            missing = length - best.tokens
            if missing == 0:
                break
            end_start = best.text.rfind(" ", 0, max(0, len(best.text) - _END_CHARACTERS - 8 * abs(missing))) + 1
            head, end = best.text[:end_start], best.text[end_start:]
            ends = [self._changed(end, missing, generator) for _ in range(_CANDIDATES)]
            end_tokens, *counts = self._tokenizer.count([end, *ends])
            gains = zip(ends, counts, strict=True)
            promising, _ = min(gains, key=lambda gain: abs(gain[1] - end_tokens - missing))
            (tokens,) = self._tokenizer.count([head + promising])
            # One that is no nearer is taken too: it may lead on.
            if abs(length - tokens) <= abs(missing):
                best = Prompt(head + promising, tokens)
        return best

    def _changed(self, text: str, missing: int, generator: Random) -> str:
        """The text with another end, by about `missing` words or characters longer (shorter, if negative)."""
        shift = round(missing * generator.choice((0.25, 0.5, 1, 1)))
        dropped = generator.randrange(5) + max(0, -shift)
        added = max(0, shift) + generator.randrange(min(dropped, 5) + 2)
        kept = (
            " ".join(text.split(" ")[: -dropped or None])
            if generator.random() < 0.5
            else text[: -dropped or None].rstrip()
        )
        pieces = self._fillers if generator.random() < 0.5 else self._any_pieces
        return (kept or generator.choice(self._openers)) + "".join(generator.choices(pieces, k=added))

    def _measured(self, phrases: Sequence[str]) -> list[Phrase]:
        """The phrases with their tokens after another word; without those the tokenizer makes nothing of."""
        after_word = self._after_anchor([f" {phrase}" for phrase in phrases])
        return [Phrase(text, tokens) for text, tokens in zip(phrases, after_word, strict=True) if tokens > 0]

    def _after_anchor(self, pieces: Sequence[str]) -> list[int]:
        """By how many tokens each piece makes a word longer that it follows."""
        anchor_tokens, *counts = self._tokenizer.count([_ANCHOR, *(_ANCHOR + piece for piece in pieces)])
        return [tokens - anchor_tokens for tokens in counts]

    def _one_token_pieces(self) -> tuple[list[str], list[str]]:
        """Texts that are one token at the start of a prompt, and texts that are one more token at its end.

        Words where the tokenizer knows whole words; else characters; else what its own vocabulary offers.
        """
        vocabulary = (
            self._tokenizer.decode([token]) for token in range(min(_SCANNED_IDS, self._tokenizer.vocabulary_size))
        )
        openers: list[str] = []
        fillers: list[str] = []
        for source in (words.SINGLE_WORDS, _CHARACTERS, vocabulary):
            texts = [text for text in source if text.strip()]
            spaced = [f" {text}" for text in texts]
            openers = openers or _single(texts, self._tokenizer.count(texts))
            fillers = (
                fillers or _single(spaced, self._after_anchor(spaced)) or _single(texts, self._after_anchor(texts))
            )
            if openers and fillers:
                return openers, fillers
        problem = f"no text is a single token under the tokenizer {self._tokenizer.name}, so no prompts can be written"
        raise PlanError(
            Problem(problem, "--tokenizer", "Use another tokenizer, or send prompts of a file: --input-file.")
        )


def _single(texts: Sequence[str], counts: Sequence[int]) -> list[str]:
    """The texts whose count is 1."""
    return [text for text, count in zip(texts, counts, strict=True) if count == 1]
