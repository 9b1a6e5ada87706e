"""One Plan out of four layers: defaults, then the file, the environment, the flags. The later layer wins.

Owns: what each layer gives, which value wins, turning the winners into a Plan, and remembering where each came from. A
value that a later layer replaces is not judged; lists and headers are replaced whole, never mixed. Does not own:
splitting the command line (`aiperf.cli.flags`), the file's form (`config_file`), checks across fields (`checks`).

flags, environment, file → Plan, origins, or one PlanError with every problem.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from aiperf.errors import PlanError, Problem
from aiperf.plan.checks import check_plan
from aiperf.plan.dumps import is_masked
from aiperf.plan.fields import ENV_PREFIX, FIELD_BY_NAME, FIELDS, FLAGS, Flag, Kind, PlanField, sought_field
from aiperf.plan.origins import DEFAULT, Origins
from aiperf.plan.plan import Plan
from aiperf.plan.spelling import did_you_mean
from aiperf.plan.values import read_body_fields, read_headers, read_list, read_pairs

FlagValues = Mapping[str, list[str] | bool]
"""Values by flag as it was spelled: the texts given to it, or True for a flag that takes none."""

_PLACEHOLDER_MODEL = "?"
_SOUGHT_NEARNESS = 0.8
"""Other programs may own variables that start like ours: only a near miss is taken for a misspelt setting."""


@dataclass(frozen=True, slots=True)
class Given:
    """What one layer says about one field."""

    origin: str
    value: Any
    """Texts from the command line or the environment; what the document holds, from a file."""
    from_file: bool = False


@dataclass(slots=True)
class Draft:
    """A Plan with everything that is wrong about it. A field in `broken` holds its default, not what was meant."""

    plan: Plan
    origins: Origins
    problems: list[Problem]
    broken: set[str]


@dataclass(slots=True)
class _Layer:
    """One source: what it gives, by field name, and what is wrong with it.

    In `broken` are fields that something unreadable was probably meant for. A later layer that gives them mends them.
    """

    given: dict[str, Given] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)


def read_plan(flags: FlagValues, environ: Mapping[str, str], config_path: Path | None = None) -> tuple[Plan, Origins]:
    """The Plan, and for each field's name where its value came from.

    Raises: PlanError with every problem of all layers.
    """
    draft = draft_plan(flags, environ, config_path)
    if draft.problems:
        raise PlanError(*draft.problems)
    return draft.plan, draft.origins


def draft_plan(
    flags: FlagValues,
    environ: Mapping[str, str],
    config_path: Path | None = None,
    broken: frozenset[str] = frozenset(),
) -> Draft:
    """The Plan as far as it could be made, with every problem found on the way.

    `broken` names fields that the caller has already complained about: about them, and about what follows from them,
    nothing more is said.
    """
    layers = [_file_layer(config_path), _environment_layer(environ), _flags_layer(flags)]
    given: dict[str, Given] = {}
    problems: list[Problem] = []
    broken_names: set[str] = set()
    for layer in layers:
        given |= layer.given
        problems += layer.problems
        broken_names = (broken_names - layer.given.keys()) | layer.broken
    broken_names |= broken
    values = _read_values(given, problems, broken_names)
    plan = _build(values, given, problems, broken_names)
    origins = _origins(plan, given)
    problems += check_plan(plan, origins, broken_names)
    return Draft(plan, origins, problems, broken_names)


def _file_layer(config_path: Path | None) -> _Layer:
    if config_path is None:
        return _Layer()
    from aiperf.plan.config_file import read_config_file  # loads YAML: 12 ms

    config = read_config_file(config_path)
    given = {
        name: Given(config.origin(FIELD_BY_NAME[name].key), value, from_file=True)
        for name, value in config.values.items()
    }
    # A file that could not be read at all may have held anything: then nothing is called missing.
    broken = config.sought if config.values or not config.problems else set(FIELD_BY_NAME)
    return _Layer(given, config.problems, broken)


def _environment_layer(environ: Mapping[str, str]) -> _Layer:
    """An empty variable counts as unset: that is how scripts and compose files leave one out."""
    layer = _Layer()
    names = {variable for known in FIELDS for variable in known.env_names}
    for known in FIELDS:
        variable = next((name for name in known.env_names if environ.get(name, "").strip()), None)
        if variable:
            layer.given[known.name] = Given(variable, (environ[variable],))
    for variable in environ:
        if variable.startswith(ENV_PREFIX) and variable not in names:
            meant = sought_field(variable.removeprefix(ENV_PREFIX), _SOUGHT_NEARNESS)
            if meant:
                layer.problems.append(Problem("there is no such setting", variable, f"Did you mean {meant.env_name}?"))
                layer.broken.add(meant.name)
    return layer


def _flags_layer(flags: FlagValues) -> _Layer:
    layer = _Layer()
    for spelling, value in flags.items():
        flag = FLAGS.get(spelling)
        if flag is None:
            layer.problems.append(Problem("there is no such flag", spelling, did_you_mean(spelling, FLAGS)))
            continue
        texts = _flag_texts(flag, value)
        previous = layer.given.get(flag.field.name)
        if flag.field.option.repeatable:
            texts = (*(previous.value if previous else ()), *texts)
        elif previous or len(texts) > 1:
            first = previous.origin if previous else spelling
            what = f"is given twice, as {first} and {spelling}" if first != spelling else "is given twice"
            hint = f"Give it once. Defaults that flags replace belong into {flag.field.env_name} or a file."
            layer.problems.append(Problem(what, spelling, hint))
            layer.broken.add(flag.field.name)
        layer.given[flag.field.name] = Given(previous.origin if previous else spelling, texts)
    return layer


def _flag_texts(flag: Flag, value: list[str] | bool) -> tuple[str, ...]:
    """The texts that the environment would hold for the same."""
    if isinstance(value, list):
        return tuple(value)
    meant = flag.preset if value else not flag.preset
    return (meant if isinstance(meant, str) else str(meant).lower(),)


def _read_values(given: Mapping[str, Given], problems: list[Problem], broken: set[str]) -> dict[str, Any]:
    """Each winner in the form pydantic takes. What cannot be read becomes a problem, and its field broken."""
    values = {}
    for name, source in given.items():
        known = FIELD_BY_NAME[name]
        try:
            values[name] = _from_file(known, source.value) if source.from_file else _from_texts(known, source.value)
        except ValueError as error:
            problems.append(Problem(str(error), source.origin))
            broken.add(name)
            continue
        if source.from_file and is_masked(values[name]):
            hint = f"Give it by {known.env_name} or {known.flag}."
            problems.append(Problem("a secret is masked in this file", source.origin, hint))
            broken.add(name)
            del values[name]
    return values


def _from_texts(known: PlanField, texts: tuple[str, ...]) -> Any:
    """The value written as text. Raises: ValueError with the reason."""
    texts = tuple(text.strip() for text in texts)
    if not all(texts):
        raise ValueError("the value is empty")
    match known.kind:
        case Kind.LIST:
            return _filled(read_list(texts))
        case Kind.HEADERS:
            return read_headers(texts)
        case Kind.BODY:
            return read_body_fields(texts)
        case Kind.PAIRS:
            return read_pairs(texts, names_alone="[" in known.metavar)
        case _ if known.option.sweepable and "," in texts[0]:
            return _alone_or_all(read_list(texts))
        case _:
            return texts[0]


def _from_file(known: PlanField, value: Any) -> Any:
    """The value a document holds. Raises: ValueError with the reason."""
    if isinstance(value, str):
        return _from_texts(known, (value,))
    members = value if isinstance(value, list) else [value]
    if known.kind in (Kind.TEXT, Kind.SECRET, Kind.FILE, Kind.CHOICE, Kind.LIST):
        if not all(isinstance(member, str) for member in members):
            raise ValueError("this is read as a number, a date or the like, not as text: put it in quotes")
        if not all(member.strip() for member in members):
            raise ValueError("the value is empty")
    if known.kind in (Kind.INTEGER, Kind.NUMBER) and any(isinstance(member, bool) for member in members):
        raise ValueError(f"true and false are not {known.expects}")
    if known.kind is Kind.LIST:
        return members if not value and known.default == () else _filled(members)
    if known.option.sweepable and isinstance(value, list):
        return _alone_or_all(members)
    return value


def _filled(members: list[Any]) -> list[Any]:
    if not members:
        raise ValueError("the list is empty")
    return members


def _alone_or_all(members: list[Any]) -> Any:
    """A list of one is no sweep."""
    return members[0] if len(_filled(members)) == 1 else tuple(members)


def _build(values: dict[str, Any], given: Mapping[str, Given], problems: list[Problem], broken: set[str]) -> Plan:
    """The Plan of these values; a value it refuses becomes a problem and leaves the field at its default."""
    if "models" not in values and "models" not in broken:
        hint = "Name one with --model, AIPERF_MODELS or endpoint.models in a file."
        problems.append(Problem("no model to ask for was given", hint=hint))
        broken.add("models")
    try:
        return Plan.model_validate(_nested(values))
    except ValidationError as error:
        complaints = error.errors(include_input=False, include_url=False)
        refused = dict.fromkeys(str(complaint["loc"][1]) for complaint in complaints)
        for name in refused:
            problems += _refusals(FIELD_BY_NAME[name], values[name], given[name].origin, complaints)
        broken.update(refused)
    return Plan.model_validate(_nested({name: value for name, value in values.items() if name not in refused}))


def _nested(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {"endpoint": {"models": [_PLACEHOLDER_MODEL]}}
    for name, value in values.items():
        nested.setdefault(FIELD_BY_NAME[name].section, {})[name] = value
    return nested


def _refusals(known: PlanField, value: Any, origin: str, complaints: list[ErrorDetails]) -> Iterator[Problem]:
    """One problem for each wrong member, in the field's words. All arms of a union complain: one is heard."""
    first_by_position: dict[int | None, ErrorDetails] = {}
    for complaint in complaints:
        if complaint["loc"][:2] == (known.section, known.name):
            position = next((step for step in complaint["loc"][2:] if isinstance(step, int)), None)
            first_by_position.setdefault(position, complaint)
    if len(first_by_position) > 1:
        first_by_position.pop(None, None)  # about the whole list, which follows from its members
    for position, complaint in first_by_position.items():
        culprit = value if position is None else value[position]
        reason = _reason(known, culprit, complaint)
        hint = did_you_mean(culprit, known.choices) if isinstance(culprit, str) else ""
        yield Problem(reason, origin, hint)


def _reason(known: PlanField, value: Any, complaint: ErrorDetails) -> str:
    context = complaint.get("ctx", {})
    if "error" in context:
        return str(context["error"])
    if "le" in context:
        return f"{_shown(known, value)} is too much: {context['le']:,.15g} at most"
    if context.get("ge"):  # any but 0
        return f"{_shown(known, value)} is too little: {context['ge']:,.15g} at least"
    return f"{_shown(known, value)} is not {known.expects}"


def _shown(known: PlanField, value: Any) -> str:
    """The value as far as a message may tell it."""
    if known.confidential:
        return "the value"
    text = str(value) if isinstance(value, (int, float)) else f"'{value}'"
    return text if len(text) <= 60 else f"{text[:56]}…'"


def _origins(plan: Plan, given: Mapping[str, Given]) -> dict[str, str]:
    """By field name. A file that repeats a default decides nothing: an exported plan spells out every field."""
    origins = {}
    for known in FIELDS:
        source = given.get(known.name)
        value = getattr(getattr(plan, known.section), known.name)
        decided = source is not None and not (source.from_file and value == known.default)
        origins[known.name] = source.origin if source and decided else DEFAULT
    return origins
