"""The configuration file: YAML or JSON with the Plan's sections, or a result file with the plan it was made from.

Owns: reading the file and finding the Plan's fields in it; what is wrong with its form. Does not own: judging the
values (`layers`).

Path → field name → value as the file has it, and problems.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from aiperf.errors import Problem
from aiperf.plan.fields import FIELD_BY_KEY, FIELDS, SECTIONS, PlanField, sought_field
from aiperf.plan.spelling import did_you_mean, nearest

RESULTS_KEY = "input_config"
"""Where a result file (`profile_export_aiperf.json`) keeps the plan: with it, a benchmark can be run again."""


@dataclass(slots=True)
class ConfigFile:
    """What was found in a file."""

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    """By field name. Null is as good as absent and is not in here."""
    problems: list[Problem] = field(default_factory=list)
    sought: set[str] = field(default_factory=set)
    """Names of the fields that unknown keys probably meant."""

    def origin(self, key: str) -> str:
        return f"{self.path}: {key}"


def read_config_file(path: Path) -> ConfigFile:
    """The fields given in the file, and every problem of its form at once."""
    config = ConfigFile(path)
    try:
        document = _parse(path)
    except OSError as error:
        config.problems.append(Problem(f"cannot be read: {error.strerror}", f"--config {path}"))
        return config
    except ValueError as error:
        config.problems.append(Problem(str(error), str(path)))
        return config
    if isinstance(document, Mapping) and isinstance(document.get(RESULTS_KEY), Mapping):
        document = document[RESULTS_KEY]
    if not isinstance(document, Mapping):
        hint = f"Its keys are the sections: {', '.join(SECTIONS)}."
        config.problems.append(Problem("is not a file of sections with settings in them", str(path), hint))
        return config
    for section, settings in document.items():
        _read_section(config, str(section), settings)
    return config


def _read_section(config: ConfigFile, section: str, settings: Any) -> None:
    if section not in SECTIONS:
        _refuse_section(config, section, settings)
    elif isinstance(settings, Mapping):
        for name, value in settings.items():
            _read_setting(config, section, str(name), value)
    elif settings is not None:
        names = ", ".join(known.name for known in FIELDS if known.section == section)
        config.problems.append(Problem("is a section, not a value", config.origin(section), f"Its settings: {names}."))


def _read_setting(config: ConfigFile, section: str, name: str, value: Any) -> None:
    known = FIELD_BY_KEY.get(f"{section}.{name}")
    if known is None:
        _refuse_key(config, f"{section}.{name}", sought_field(name))
    elif value is not None:
        config.values[known.name] = value


def _refuse_section(config: ConfigFile, section: str, settings: Any) -> None:
    """A top-level key that is no section: a misspelt section, or a setting without its section."""
    meant = nearest(section, SECTIONS)
    if isinstance(settings, Mapping) and meant:
        hint = did_you_mean(section, SECTIONS)
        config.problems.append(Problem("there is no such section", config.origin(section), hint))
        config.sought.update(known.name for known in FIELDS if known.section == meant)
    else:
        _refuse_key(config, section, sought_field(section))


def _refuse_key(config: ConfigFile, key: str, meant: PlanField | None) -> None:
    hint = f"Did you mean {meant.key}?" if meant else "All keys: aiperf profile --help."
    config.problems.append(Problem("there is no such setting", config.origin(key), hint))
    if meant:
        config.sought.add(meant.name)


def _parse(path: Path) -> Any:
    """The document. Raises: OSError; ValueError with the reason and, where it is known, the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8 text") from error
    try:
        # JSON has a reader of its own: YAML 1.1 takes its 1e5 for text and stumbles over its tabs.
        return json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: line {error.lineno}: {error.msg}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ValueError(f"is not YAML: line {line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML: {error}") from error


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, where PyYAML would silently take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key '{key_node.value}' is here for the second time", problem_mark=key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)
