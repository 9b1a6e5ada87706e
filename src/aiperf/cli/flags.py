"""The command line of `aiperf profile`: argv → a Plan, or every problem at once.

Owns: which words belong to which field. Does not own: how words are read (`words`), what the texts mean
(`plan.layers`), which flags there are (`plan.fields`), help (`help`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiperf.cli.words import Form, read_words
from aiperf.errors import PlanError, Problem
from aiperf.plan.checks import sweep_problems
from aiperf.plan.fields import FLAGS, Flag
from aiperf.plan.layers import draft_plan
from aiperf.plan.origins import Origins
from aiperf.plan.plan import Plan

CONFIG_FLAGS = ("--config", "-f")
HELP_FLAGS = ("--help", "-h")

OF_AN_ENDPOINT = frozenset({"models", "urls"})
"""Fields that a plan of a load alone need not have (`needless`)."""


def _form(flag: Flag) -> Form:
    if flag.preset is None:
        return Form(flag.field.metavar, flag.field.confidential)
    return Form(off=flag.field.no_flags[0] if flag.field.no_flags else "")


FORMS = {
    **{spelling: _form(flag) for spelling, flag in FLAGS.items()},
    **dict.fromkeys(CONFIG_FLAGS, Form("FILE")),
    **dict.fromkeys(HELP_FLAGS, Form()),
}


@dataclass(slots=True)
class CommandLine:
    """What stands on a command line, unjudged."""

    flags: dict[str, list[str] | bool] = field(default_factory=dict)
    """By the first spelling used for a field, so that the order of repeated values is kept over all spellings."""
    config_paths: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    """Fields that a problem is about already."""


def plan_from_argv(
    argv: Sequence[str], environ: Mapping[str, str], needless: frozenset[str] = frozenset()
) -> tuple[Plan, Origins]:
    """The Plan of `aiperf profile ARGV`, and where each value came from.

    `needless`: fields that may be left out even if a run could not do without; nothing is said of their default.
    Raises: PlanError with every problem of the command line, the environment and the file.
    """
    line = read_command_line(argv)
    config_path = line.config_paths[0] if line.config_paths else None
    given = {FLAGS[spelling].field.name for spelling in line.flags}
    draft = draft_plan(line.flags, environ, config_path, frozenset(line.broken | (needless - given)))
    problems = [*line.problems, *draft.problems, *sweep_problems(draft.plan, draft.origins)]
    if problems:
        raise PlanError(*problems)
    return draft.plan, draft.origins


def read_command_line(argv: Sequence[str]) -> CommandLine:
    """The flags on the command line, with the problems of its form."""
    words = read_words(argv, FORMS, help_command="aiperf profile --help")
    line = CommandLine(problems=words.problems)
    line.broken.update(FLAGS[spelling].field.name for spelling in words.broken if spelling in FLAGS)
    for spelling, text in words.flags:
        if spelling in HELP_FLAGS:
            continue  # answered before anything is read (`main`)
        if text is None:
            line.flags[spelling] = True
        else:
            _take_value(line, spelling, text)
    if len(line.config_paths) > 1:
        line.problems.append(Problem("is given twice", CONFIG_FLAGS[0], "One file holds a whole plan."))
    return line


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
