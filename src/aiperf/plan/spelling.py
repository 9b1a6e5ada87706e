"""What was probably meant by a misspelt word. For flags, keys, environment variables, commands and choices.

Owns: the one measure of nearness, and the sentence made of it. Does not own: which words are known.
Imports no more than difflib, for `aiperf --help` comes through here.
"""

from collections.abc import Iterable
from difflib import get_close_matches

NEARNESS = 0.6
"""Share of letters two words must have in common to be taken for one another: difflib's own choice, good for words."""


def nearest(word: str, known: Iterable[str], nearness: float = NEARNESS) -> str | None:
    """The known word most like this one whatever its case, `_` or `-`; None if none is near."""
    by_folded = {_folded(candidate): candidate for candidate in known}
    matches = get_close_matches(_folded(word), by_folded, n=1, cutoff=nearness)
    return by_folded[matches[0]] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint: `Did you mean --concurrency?`; empty if no known word is near."""
    match = nearest(word, known)
    return f"Did you mean {match}?" if match else ""


def _folded(word: str) -> str:
    return word.lower().replace("_", "-")
