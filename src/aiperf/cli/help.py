"""`aiperf profile --help`: every flag, by section, as plain text that needs no colour.

Owns: the page's layout. Does not own: the texts (`plan.plan`), the list of commands (`main`).
"""

import shutil
import textwrap

from aiperf.errors import ExitCode
from aiperf.plan.descriptions import flags_text, help_sentence, section_help
from aiperf.plan.fields import FIELDS, SECTIONS

WIDTH_MAX = 100
"""Longer lines are hard to read, however wide the terminal."""

_INTRODUCTION = """\
Measures an OpenAI-compatible endpoint under load, and tells the truth about it.

A setting is taken from the flag, else from the environment, else from the file, else it has its default. The \
environment variable and the file's key stand below each flag.
"""

_EXAMPLES = """\
Examples:
  aiperf profile -m llama-3 -u localhost:8000 --streaming --concurrency 10 --request-count 100
  aiperf profile -m llama-3 --streaming --request-rate 20 --duration 60 --goodput "time_to_first_token:200"
  aiperf profile -f bench.yaml
"""

_CONFIG = """\
File:
  --config, -f FILE
      YAML or JSON with sections and settings as named below. An exported profile_export_aiperf.json will do: it \
runs the same benchmark again.
  --help, -h
      Print this page.
"""


def print_profile_help() -> int:
    print(profile_help(shutil.get_terminal_size().columns))
    return ExitCode.DONE


def profile_help(width: int) -> str:
    """The page, with lines of at most so many characters as far as words allow."""
    width = max(40, min(width, WIDTH_MAX))
    usage = "Usage: aiperf profile --model NAME [FLAGS]"
    texts = (usage, _INTRODUCTION, _EXAMPLES, _CONFIG, *(_section(section) for section in SECTIONS))
    lines = [line for text in texts for line in (*text.splitlines(), "")]
    return "\n".join(wrapped for line in lines for wrapped in _wrap(line, width)).rstrip()


def _section(section: str) -> str:
    lines = [f"{section.capitalize()}: {section_help(section)}"]
    for field in FIELDS:
        if field.section == section:
            lines += [
                f"  {flags_text(field)}",
                f"      {help_sentence(field)}",
                f"      {', '.join(field.source_names)}",
            ]
    return "\n".join(lines)


def _wrap(line: str, width: int) -> list[str]:
    indent = line[: len(line) - len(line.lstrip())]
    deeper = indent + "    " if line.lstrip().startswith(("--", "aiperf ")) else indent
    return textwrap.wrap(line, width, subsequent_indent=deeper, break_long_words=False, break_on_hyphens=False) or [""]
