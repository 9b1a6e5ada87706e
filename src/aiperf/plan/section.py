"""What a section of the Plan is made of: a frozen model whose fields carry their flags and help.

Owns: `Section`, and the metadata of a field. Does not own: the sections themselves (`plan`, `kubernetes`), reading the
metadata (`fields`).
"""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True, slots=True)
class Option:
    """How a field appears to the user. Metadata of a Plan field."""

    help: str
    flags: tuple[str, ...]
    """All spellings; the first is the one used in messages."""
    metavar: str = ""
    """Stands for the value in help; found out from the type when not given."""
    sweepable: bool = False
    """A comma-separated list is a sweep over the values."""
    repeatable: bool = False
    """May be given several times; the values add up."""
    env_alias: str = ""
    """A second environment variable, known from elsewhere; ours wins if both are set."""


def option(
    text: str,
    *flags: str,
    metavar: str = "",
    sweepable: bool = False,
    repeatable: bool = False,
    env_alias: str = "",
) -> Option:
    """The help text first, then every spelling of the flag."""
    return Option(text, flags, metavar, sweepable, repeatable, env_alias)


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)
