"""The Plan's fields as one flat table: what every source, help page and schema is made from.

Owns: per field its names (flag, environment variable, file key), the kind of its value and the words for what it
expects; finding the field that a word probably meant. Does not own: the fields themselves (`plan`), values.

Plan's models → FIELDS, FLAGS.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from aiperf.plan.plan import Plan
from aiperf.plan.section import Option
from aiperf.plan.spelling import NEARNESS, nearest

ENV_PREFIX = "AIPERF_"


class Kind(StrEnum):
    """The form of a field's value, as far as reading and showing it goes."""

    SWITCH = "switch"
    CHOICE = "choice"
    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    FILE = "file"
    SECRET = "secret"  # noqa: S105 - names a kind, holds nothing
    LIST = "list"
    HEADERS = "headers"
    BODY = "body"
    PAIRS = "pairs"


@dataclass(frozen=True, slots=True)
class PlanField:
    """One field of the Plan, seen from outside."""

    section: str
    name: str
    option: Option
    kind: Kind
    choices: tuple[str, ...]
    """What a CHOICE may be, or the word that may stand for a number; empty for the other kinds."""
    may_be_zero: bool
    """A number's lower bound belongs to it; if not, the number is above 0."""
    required: bool
    default: Any

    @property
    def key(self) -> str:
        """In a file: `load.concurrency`."""
        return f"{self.section}.{self.name}"

    @property
    def env_name(self) -> str:
        return ENV_PREFIX + self.name.upper()

    @property
    def env_names(self) -> tuple[str, ...]:
        """Every environment variable for it; the first that is set counts."""
        alias = self.option.env_alias
        return (self.env_name, alias) if alias else (self.env_name,)

    @property
    def source_names(self) -> tuple[str, ...]:
        """What it is called in the environment and in a file; the alias last."""
        return (self.env_name, self.key, *self.env_names[1:])

    @property
    def flag(self) -> str:
        """The spelling used in messages."""
        return self.option.flags[0]

    @property
    def no_flags(self) -> tuple[str, ...]:
        """The spellings that turn a switch off."""
        return tuple(f"--no-{flag[2:]}" for flag in self.option.flags if self.kind is Kind.SWITCH)

    @property
    def confidential(self) -> bool:
        """Its value must not be quoted in a message."""
        return self.kind in (Kind.SECRET, Kind.HEADERS)

    @property
    def unit(self) -> str:
        """Unit of a number, from the field's name; empty for a count and for what is no number."""
        if self.kind not in (Kind.INTEGER, Kind.NUMBER):
            return ""
        for ending, unit in {"_s": "s", "_tokens": "tokens", "_rate": "requests/s"}.items():
            if self.name.endswith(ending):
                return unit
        return ""

    @property
    def metavar(self) -> str:
        """What stands for the value in help; empty for a switch."""
        by_kind = {Kind.SWITCH: "", Kind.CHOICE: "|".join(self.choices), Kind.FILE: "FILE", Kind.INTEGER: "N"}
        by_unit = {"s": "SECONDS", "tokens": "TOKENS", "requests/s": "RPS"}
        return self.option.metavar or by_unit.get(self.unit) or by_kind.get(self.kind, "VALUE")

    @property
    def expects(self) -> str:
        """What a value must be, to follow `'x' is not`."""
        match self.kind:
            case Kind.SWITCH:
                return "true or false"
            case Kind.CHOICE:
                return f"one of {', '.join(self.choices)}"
            case Kind.INTEGER | Kind.NUMBER:
                noun = "a whole number" if self.kind is Kind.INTEGER else "a number"
                numbers = f"{noun}, 0 or more" if self.may_be_zero else f"{noun} above 0"
                return ", or ".join((numbers, *self.choices))
            case Kind.LIST:
                return "a text or a list of texts"
            case Kind.HEADERS | Kind.BODY | Kind.PAIRS:
                return f"{self.option.metavar} or an object"
            case Kind.TEXT | Kind.FILE | Kind.SECRET:
                return "text"


@dataclass(frozen=True, slots=True)
class Flag:
    """What one spelling on the command line means."""

    field: PlanField
    preset: bool | str | None = None
    """What a flag that takes no value sets; None if it takes one."""


def sought_field(word: str, nearness: float = NEARNESS) -> PlanField | None:
    """The field whose name or flag is nearest to a word that is none of them; None if none is near."""
    found = nearest(word, _FIELD_BY_WORD, nearness)
    return _FIELD_BY_WORD[found] if found else None


def _fields() -> Iterator[PlanField]:
    for section, section_info in Plan.model_fields.items():
        for name, info in section_info.annotation.model_fields.items():  # type: ignore[union-attr]
            yield _field(section, name, info)


def _field(section: str, name: str, info: FieldInfo) -> PlanField:
    (option,) = (item for item in info.metadata if isinstance(item, Option))
    kind, choices, may_be_zero = _form(info.annotation, tuple(info.metadata))
    return PlanField(
        section=section,
        name=name,
        option=option,
        kind=kind,
        choices=choices,
        may_be_zero=may_be_zero,
        required=info.is_required(),
        default=None if info.is_required() else info.get_default(call_default_factory=True),
    )


_KIND_BY_TYPE = {
    bool: Kind.SWITCH,
    int: Kind.INTEGER,
    float: Kind.NUMBER,
    str: Kind.TEXT,
    Path: Kind.FILE,
    SecretStr: Kind.SECRET,
}


def _form(annotation: Any, metadata: tuple[Any, ...]) -> tuple[Kind, tuple[str, ...], bool]:
    """The kind, the choices, and whether a number may be 0. Of a union the first arm counts; others are lists of it, a
    word that may stand for it, or None."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _form(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        words = tuple(word for arm in arguments[1:] if get_origin(arm) is Literal for word in get_args(arm))
        kind, choices, may_be_zero = _form(arguments[0], metadata)
        return kind, (*choices, *words), may_be_zero
    if origin is Literal:
        return Kind.CHOICE, arguments, False
    if origin is tuple:
        return Kind.LIST, (), False
    if origin is not None:  # the mappings; of pairs, the names are judged one by one
        if get_origin(arguments[0]) is Annotated:
            return Kind.PAIRS, (), False
        return (Kind.HEADERS if arguments[1] is str else Kind.BODY), (), False
    return _KIND_BY_TYPE[annotation], (), Ge(0) in metadata


FIELDS: tuple[PlanField, ...] = tuple(_fields())
"""In the Plan's order."""

FIELD_BY_NAME: dict[str, PlanField] = {field.name: field for field in FIELDS}
FIELD_BY_KEY: dict[str, PlanField] = {field.key: field for field in FIELDS}
SECTIONS: tuple[str, ...] = tuple(Plan.model_fields)

FLAGS: dict[str, Flag] = {
    **{
        flag: Flag(field, preset=True if field.kind is Kind.SWITCH else None)
        for field in FIELDS
        for flag in field.option.flags
    },
    **{flag: Flag(field, preset=False) for field in FIELDS for flag in field.no_flags},
    "-v": Flag(FIELD_BY_NAME["log_level"], preset="debug"),
    "-vv": Flag(FIELD_BY_NAME["log_level"], preset="trace"),
}
"""Every spelling on the command line that means a field."""

_FIELD_BY_WORD: dict[str, PlanField] = {
    **{flag.lstrip("-"): meaning.field for flag, meaning in FLAGS.items() if len(flag.lstrip("-")) > 2},
    **FIELD_BY_NAME,
}
"""Words under which a field may be sought."""
