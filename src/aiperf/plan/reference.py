"""The reference pages made from the Plan's fields: `docs/flags.md` and `docs/plan.schema.json`.

Owns: their form, and telling whether the checked-in ones are stale. Does not own: the texts (`plan`, `descriptions`).

`python -m aiperf.plan.reference FILE…` writes them, by suffix; `--check` writes nothing and fails if one is stale.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiperf.plan.descriptions import help_sentence, section_help
from aiperf.plan.fields import FIELD_BY_KEY, FIELDS, SECTIONS, Kind, PlanField
from aiperf.plan.plan import Plan

_HEAD = """\
# Flags

Every setting of `aiperf profile`, under its three names. This page is generated: `make docs` writes it.
How the sources work together: [plan.md](plan.md).

Besides these: `--config`/`-f FILE`, `--help`/`-h`, and `-v`/`-vv` for `--log-level debug`/`trace`.
"""


def flags_page() -> str:
    """All settings as Markdown: a section each, a table in it."""
    return "\n".join([_HEAD, *("\n".join(_section_lines(section)) for section in SECTIONS)])


def schema() -> dict[str, Any]:
    """The JSON schema of a configuration file, for editors: described, with names as in this project only."""
    document = Plan.model_json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = "aiperf configuration file"
    document["description"] = "Settings of `aiperf profile`, by section."
    for section in SECTIONS:
        definition = document["$defs"][_definition_name(document, section)]
        definition.pop("title", None)
        definition.pop("required", None)  # a file may leave to flags and environment what the whole plan must have
        for name, described in definition["properties"].items():
            field = FIELD_BY_KEY[f"{section}.{name}"]
            described.pop("title", None)
            described["description"] = help_sentence(field)
            if field.kind is Kind.LIST:
                described["type"] = ["array", "string"]
    document.pop("required", None)
    return document


def page_text(path: Path) -> str:
    """What the file should hold, by its suffix. Raises: ValueError if no page has this suffix."""
    match path.suffix:
        case ".md":
            return flags_page()
        case ".json":
            return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
        case _:
            raise ValueError(f"{path}: a page is .md or .json")


def main(argv: Sequence[str]) -> int:
    """Writes or checks the pages. 0 if all is well, 1 if one is stale, 2 for wrong usage."""
    paths = [Path(word) for word in argv if word != "--check"]
    if not paths:
        print("usage: python -m aiperf.plan.reference [--check] FILE.md FILE.json", file=sys.stderr)
        return 2
    stale = [path for path in paths if not path.exists() or path.read_text(encoding="utf-8") != page_text(path)]
    for path in stale:
        if "--check" in argv:
            print(f"{path} is stale: write it anew by `make docs`", file=sys.stderr)
        else:
            path.write_text(page_text(path), encoding="utf-8")
    return 1 if stale and "--check" in argv else 0


def _section_lines(section: str) -> list[str]:
    rows = [_row(field) for field in FIELDS if field.section == section]
    return [
        f"## {section.capitalize()}",
        "",
        section_help(section),
        "",
        "| Flag | Environment, file | Value | Meaning |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _row(field: PlanField) -> str:
    flags = ", ".join(f"`{flag}`" for flag in (*field.option.flags, *field.no_flags))
    names = ", ".join(f"`{name}`" for name in field.source_names)
    value = "" if field.kind is Kind.SWITCH else f"`{field.metavar}`".replace("|", "\\|")
    meaning = help_sentence(field).replace("|", "\\|")
    return f"| {flags} | {names} | {value} | {meaning} |"


def _definition_name(document: dict[str, Any], section: str) -> str:
    return str(document["properties"][section]["$ref"]).rpartition("/")[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
