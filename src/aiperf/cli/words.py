"""The words of a command line, as flags and their texts.

Owns: the rules of reading, the problems of the form. Does not own: which flags there are, what the texts mean.

A value may follow as the next word or after `=`; one that starts with `--` or is itself a flag needs the `=`. Why not a
library's reader: docs/decisions/0002-command-line.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aiperf.errors import Problem
from aiperf.plan.spelling import nearest


class Form(NamedTuple):
    """How one flag is written."""

    metavar: str = ""
    """What stands for its value; empty for a switch."""
    confidential: bool = False
    """Its value must not be told."""
    off: str = ""
    """The spelling that turns a switch off."""


@dataclass(slots=True)
class Words:
    """What was read, in the order in which it stands there."""

    flags: list[tuple[str, str | None]] = field(default_factory=list)
    """Spelling and text; None for a switch."""
    names: list[str] = field(default_factory=list)
    """Words that belong to no flag, where a command takes such."""
    problems: list[Problem] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    """Spellings that a problem is about already; of a misspelt flag the one that was meant."""


def read_words(argv: Sequence[str], forms: Mapping[str, Form], *, help_command: str, names_max: int = 0) -> Words:
    """Everything on the line, with all that is wrong with its form. `help_command`: where all flags are told."""
    read = Words()
    words = list(argv)
    last = ""
    while words:
        word = words.pop(0)
        spelling, equals, text = word.partition("=")
        if not word.startswith("-") or word == "-":
            if len(read.names) < names_max:
                read.names.append(word)
            else:
                _refuse_stray(read, word, last, forms)
            continue
        last = spelling
        form = forms.get(spelling)
        if form is None:
            _refuse_unknown(read, spelling, forms, help_command)
            if words and not names_max and _may_be_value(words[0], form, forms):
                words.pop(0)
        elif not form.metavar:
            _take_switch(read, spelling, form, text if equals else None)
        elif equals:
            read.flags.append((spelling, text))
        elif words and _may_be_value(words[0], form, forms):
            read.flags.append((spelling, words.pop(0)))
        else:
            hint = f"Write {spelling} {form.metavar}; a value that starts with dashes, {spelling}=VALUE."
            read.problems.append(Problem("needs a value", spelling, hint))
            read.broken.add(spelling)
    return read


def _may_be_value(word: str, form: Form | None, forms: Mapping[str, Form]) -> bool:
    """Whether a word can be the value of the flag before it: what is no flag and does not start like one.

    Negative numbers are values, to be judged as numbers. After a flag that takes a secret, everything but a known flag
    is a value: a key may start with dashes, and must not be told as an unknown flag.
    """
    if word.partition("=")[0] in forms:
        return False
    return not word.startswith("--") or (form is not None and form.confidential)


def _refuse_stray(read: Words, word: str, last: str, forms: Mapping[str, Form]) -> None:
    """A word that no flag takes: often the rest of a value without quotes, and then of a secret's too."""
    told = "a word" if last in forms and forms[last].confidential else f"'{word}'"
    origin = f"after {last}" if last else ""
    read.problems.append(Problem(f"{told} belongs to no flag", origin, "Put a value with spaces in quotes."))


def _refuse_unknown(read: Words, spelling: str, forms: Mapping[str, Form], help_command: str) -> None:
    meant = nearest(spelling, forms)
    hint = f"Did you mean {meant}?" if meant else f"All flags: {help_command}."
    read.problems.append(Problem("there is no such flag", spelling, hint))
    if meant is not None:
        read.broken.add(meant)


def _take_switch(read: Words, spelling: str, form: Form, text: str | None) -> None:
    if text is None:
        read.flags.append((spelling, None))
        return
    off = f"; {form.off} turns it off" if form.off else ""
    read.problems.append(Problem("takes no value", spelling, f"Write {spelling} alone{off}."))
    read.broken.add(spelling)
