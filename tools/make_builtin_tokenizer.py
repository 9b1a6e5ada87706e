"""Trains the tokenizer that ships with aiperf and writes it to src/aiperf/dataset/builtin_tokenizer.json.

Input: prose and code that the running Python carries with itself (its reference manual as `pydoc` topics, the
docstrings and sources of its library; PSF licence) and aiperf's own word lists. Output: merge statistics of that text,
none of the text itself. The result depends on the Python version; the committed file was made with Python 3.11.
Run: python tools/make_builtin_tokenizer.py
"""

import ast
import importlib.util
import json
import random
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from aiperf.dataset import words

TARGET = Path(__file__).parent.parent / "src/aiperf/dataset/builtin_tokenizer.json"
VOCABULARY_SIZE = 10_240
WORD_LIST_REPEATS = 100
"""The word lists are small beside the rest; repeated so often, each of their words becomes a token of its own."""


def manual() -> Iterator[str]:
    """The reference manual: English prose. Read as data, since importing it would tell mypy about a private module."""
    spec = importlib.util.find_spec("pydoc_data.topics")
    if spec is None or spec.origin is None:
        sys.exit("This Python carries no pydoc topics.")
    for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def library() -> Iterator[str]:
    """Docstrings of the standard library, three times for their prose, and every 20th source file for code."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = sorted(path for path in root.rglob("*.py") if not {"site-packages", "test", "tests"} & set(path.parts))
    for position, path in enumerate(paths):
        source = path.read_text(errors="ignore")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield from [ast.get_docstring(node) or ""] * 3
        if position % 20 == 0:
            yield source


def own_words() -> Iterator[str]:
    """Sentences of aiperf's word lists."""
    generator = random.Random(0)
    for _ in range(WORD_LIST_REPEATS):
        yield " " + " ".join(generator.sample(words.SINGLE_WORDS, len(words.SINGLE_WORDS)))
        for subject in generator.sample(words.SUBJECTS, len(words.SUBJECTS)):
            yield f"{subject} {generator.choice(words.PREDICATES)} {generator.choice(words.ENDINGS)}"


def main() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([*manual(), *library(), *own_words()], trainer)
    content = json.loads(tokenizer.to_str())
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    TARGET.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes, {tokenizer.get_vocab_size():,} tokens")


if __name__ == "__main__":
    main()
