"""The command line of `aiperf profile`: argv → a Plan, or every problem at once.

Owns: splitting argv into flags and their texts, as raw as they are. Does not own: what the texts mean (`plan.layers`),
which flags there are (`plan.fields`), help (`help`).

Our own reader instead of a library's: those stop at the first unknown flag, and what is wrong should be told in one
round together with what is wrong with the values. Why: docs/decisions/0002-command-line.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiperf.errors import PlanError, Problem
from aiperf.plan.checks import sweep_problems
from aiperf.plan.fields import FLAGS, Flag
from aiperf.plan.layers import draft_plan
from aiperf.plan.origins import Origins
from aiperf.plan.plan import Plan
from aiperf.plan.spelling import nearest

CONFIG_FLAGS = ("--config", "-f")
HELP_FLAGS = ("--help", "-h")
_SPELLINGS = (*FLAGS, *CONFIG_FLAGS, *HELP_FLAGS)


@dataclass(slots=True)
class CommandLine:
    """What stands on a command line, unjudged."""

    flags: dict[str, list[str] | bool] = field(default_factory=dict)
    """By the first spelling used for a field, so that the order of repeated values is kept over all spellings."""
    config_paths: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    """Fields that a problem is about already."""


def plan_from_argv(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[Plan, Origins]:
    """The Plan of `aiperf profile ARGV`, and where each value came from.

    Raises: PlanError with every problem of the command line, the environment and the file.
    """
    line = read_command_line(argv)
    config_path = line.config_paths[0] if line.config_paths else None
    draft = draft_plan(line.flags, environ, config_path, frozenset(line.broken))
    problems = [*line.problems, *draft.problems, *sweep_problems(draft.plan, draft.origins)]
    if problems:
        raise PlanError(*problems)
    return draft.plan, draft.origins


def read_command_line(argv: Sequence[str]) -> CommandLine:
    """The flags on the command line, with the problems of its form.

    A value may follow as the next word or after `=`; one that starts with `--` or is itself a flag needs the `=`.
    """
    line = CommandLine()
    words = list(argv)
    last = ""
    while words:
        word = words.pop(0)
        spelling, equals, text = word.partition("=")
        if not word.startswith("-") or word == "-":
            _refuse_stray(line, word, last)
            continue
        last = spelling
        if spelling not in _SPELLINGS:
            _refuse(line, spelling)
            if words and _may_be_value(words[0], spelling):
                words.pop(0)
        elif spelling in FLAGS and FLAGS[spelling].preset is not None:
            _take_switch(line, spelling, FLAGS[spelling], text if equals else None)
        elif equals:
            _take_value(line, spelling, text)
        elif words and _may_be_value(words[0], spelling):
            _take_value(line, spelling, words.pop(0))
        else:
            _refuse_missing_value(line, spelling)
    if len(line.config_paths) > 1:
        line.problems.append(Problem("is given twice", CONFIG_FLAGS[0], "One file holds a whole plan."))
    return line


def _may_be_value(word: str, spelling: str) -> bool:
    """Whether a word can be the value of the flag before it: what is no flag and does not start like one.

    Negative numbers are values, to be judged as numbers. After a flag that takes a secret, everything but a known flag
    is a value: a key may start with dashes, and must not be told as an unknown flag.
    """
    if word.partition("=")[0] in _SPELLINGS:
        return False
    return not word.startswith("--") or (spelling in FLAGS and FLAGS[spelling].field.confidential)


def _refuse_stray(line: CommandLine, word: str, last: str) -> None:
    """A word that no flag takes: often the rest of a value without quotes, and then of a secret's too."""
    told = "a word" if last in FLAGS and FLAGS[last].field.confidential else f"'{word}'"
    origin = f"after {last}" if last else ""
    line.problems.append(Problem(f"{told} belongs to no flag", origin, "Put a value with spaces in quotes."))


def _refuse(line: CommandLine, spelling: str) -> None:
    meant = nearest(spelling, _SPELLINGS)
    hint = f"Did you mean {meant}?" if meant else "All flags: aiperf profile --help."
    line.problems.append(Problem("there is no such flag", spelling, hint))
    if meant in FLAGS:
        line.broken.add(FLAGS[meant].field.name)


def _refuse_missing_value(line: CommandLine, spelling: str) -> None:
    if spelling in HELP_FLAGS:
        return  # answered before anything is read (`main`)
    metavar = FLAGS[spelling].field.metavar if spelling in FLAGS else "FILE"
    hint = f"Write {spelling} {metavar}; a value that starts with dashes, {spelling}=VALUE."
    line.problems.append(Problem("needs a value", spelling, hint))
    if spelling in FLAGS:
        line.broken.add(FLAGS[spelling].field.name)


def _take_switch(line: CommandLine, spelling: str, flag: Flag, text: str | None) -> None:
    if text is not None:
        off = f"; {flag.field.no_flags[0]} turns it off" if flag.field.no_flags else ""
        line.problems.append(Problem("takes no value", spelling, f"Write {spelling} alone{off}."))
        line.broken.add(flag.field.name)
    else:
        line.flags[spelling] = True


def _take_value(line: CommandLine, spelling: str, text: str) -> None:
    if spelling in CONFIG_FLAGS:
        line.config_paths.append(Path(text))
        return
    name = FLAGS[spelling].field.name
    first = next((known for known in line.flags if FLAGS[known].field.name == name), spelling)
    texts = line.flags.setdefault(first, [])
    if isinstance(texts, list):
        texts.append(text)
    else:  # -v and --log-level: two spellings of one field, which the layers refuse by name
        line.flags[spelling] = [text]
