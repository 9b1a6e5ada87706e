"""What a command of `aiperf kube` takes: its flags, its RUN, its help page.

Owns: the table's form, reading a command line by it, the page. Does not own: the commands, the rules of reading
(`cli.words`).
"""

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from aiperf.cli.flags import HELP_FLAGS
from aiperf.cli.words import Form, read_words
from aiperf.errors import PlanError, Problem

WIDTH_MAX = 100


class Option(NamedTuple):
    """One flag of these commands."""

    flag: str
    help: str
    metavar: str = ""
    """Empty for a switch."""
    short: str = ""
    variable: str = ""
    """Of the environment, where the same is set for `aiperf profile --kubernetes`."""
    choices: tuple[str, ...] = ()
    is_count: bool = False
    """A whole number above 0."""

    @property
    def spellings(self) -> tuple[str, ...]:
        return (self.flag, self.short) if self.short else (self.flag,)


KUBECONFIG = Option(
    "--kubeconfig",
    "File that tells how to reach the cluster. Default: $KUBECONFIG, else ~/.kube/config.",
    "FILE",
    variable="AIPERF_KUBECONFIG",
)
KUBECONTEXT = Option(
    "--kubecontext", "Context of the kubeconfig. Default: its current one.", "NAME", variable="AIPERF_KUBECONTEXT"
)
NAMESPACE = Option(
    "--namespace",
    "Namespace to look in. Default: all, or the context's where all may not be looked at.",
    "NAME",
    "-n",
    "AIPERF_KUBERNETES_NAMESPACE",
)
CLUSTER_OPTIONS = (NAMESPACE, KUBECONFIG, KUBECONTEXT)
_WAYS = ("port-forward", "proxy", "nodeport", "loadbalancer", "direct")
ACCESS = Option(
    "--api-access", "Way to the controller's HTTP API. Default: as the run was started.", "|".join(_WAYS), choices=_WAYS
)
HELP = Option(HELP_FLAGS[0], "Print this page.", short=HELP_FLAGS[1])


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one command."""

    name: str
    summary: str
    """One sentence, also for the list of commands."""
    options: tuple[Option, ...]
    run: Literal["needed", "possible", "none"] = "none"
    """Whether it takes a run's id."""
    more: str = ""
    """What else the page tells."""

    def page(self) -> str:
        width = max(40, min(shutil.get_terminal_size().columns, WIDTH_MAX))
        run = {"needed": " RUN", "possible": " [RUN]", "none": ""}[self.run]
        lines = [f"Usage: aiperf kube {self.name}{run} [FLAGS]", "", self.summary]
        if self.more:
            lines += ["", self.more]
        lines += ["", "Flags:"]
        for option in (*self.options, HELP):
            lines.append(f"  {', '.join(option.spellings)} {option.metavar}".rstrip())
            variable = f" ({option.variable})" if option.variable else ""
            lines.append(f"      {option.help}{variable}")
        return "\n".join(wrapped for line in lines for wrapped in _wrap(line, width))


def _wrap(line: str, width: int) -> list[str]:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a command line asks for."""

    run_id: str
    """Empty if none was given."""
    texts: Mapping[str, str]
    """By flag."""
    switches: frozenset[str]

    def text(self, option: Option) -> str | None:
        return self.texts.get(option.flag)

    def count(self, option: Option) -> int | None:
        text = self.texts.get(option.flag)
        return int(text) if text is not None else None

    def has(self, option: Option) -> bool:
        return option.flag in self.switches

    @property
    def namespace(self) -> str | None:
        return self.text(NAMESPACE)

    @property
    def kubeconfig(self) -> Path | None:
        text = self.text(KUBECONFIG)
        return Path(text) if text is not None else None

    @property
    def kubecontext(self) -> str | None:
        return self.text(KUBECONTEXT)


def read_usage(usage: Usage, argv: Sequence[str], environ: Mapping[str, str]) -> Chosen:
    """Raises: PlanError with everything that is wrong with the command line."""
    by_spelling = {spelling: option for option in (*usage.options, HELP) for spelling in option.spellings}
    forms = {spelling: Form(option.metavar) for spelling, option in by_spelling.items()}
    names_max = 0 if usage.run == "none" else 1
    words = read_words(argv, forms, help_command=f"aiperf kube {usage.name} --help", names_max=names_max)
    problems = list(words.problems)
    texts: dict[str, str] = {}
    for spelling, text in words.flags:
        flag = by_spelling[spelling].flag
        if text is not None and flag in texts:
            problems.append(Problem("is given twice", spelling, "Give it once."))
        elif text is not None:
            texts[flag] = text
            problems += _problems(by_spelling[spelling], spelling, text)
    if usage.run == "needed" and not words.names:
        problems.append(Problem("a run is missing", "RUN", "Its id, as aiperf kube list shows it."))
    if problems:
        raise PlanError(*problems)  # Variables are not judged: what is wrong there, the cluster's client will tell.
    variables = {option.flag: option.variable for option in usage.options if environ.get(option.variable)}
    texts = {**{flag: environ[variable] for flag, variable in variables.items()}, **texts}
    switches = frozenset(by_spelling[spelling].flag for spelling, text in words.flags if text is None)
    return Chosen(words.names[0] if words.names else "", texts, switches)


def _problems(option: Option, spelling: str, text: str) -> list[Problem]:
    if option.choices and text not in option.choices:
        return [Problem(f"'{text}' is not one of {', '.join(option.choices)}", spelling)]
    if option.is_count and not (text.isascii() and text.isdigit() and int(text) > 0):
        return [Problem(f"'{text}' is not a whole number above 0", spelling)]
    return []
