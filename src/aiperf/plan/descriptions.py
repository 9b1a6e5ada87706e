"""A field in words, for help pages, schema and docs: one wording for all.

Owns: how flags, help and default are put together. Does not own: the texts (`plan`), the pages.
"""

from aiperf.plan.fields import Kind, PlanField
from aiperf.plan.plan import Plan


def flags_text(field: PlanField) -> str:
    """All spellings, and what stands for the value: `--url, -u URL`; a switch with the spelling that turns it off."""
    spellings = ", ".join((*field.option.flags, *field.no_flags))
    return f"{spellings} {field.metavar}".rstrip()


def help_sentence(field: PlanField) -> str:
    """The help text, completed by default, bounds of use and repetition."""
    sentences = [field.option.help]
    if field.required:
        sentences.append("Required.")
    if field.option.repeatable:
        sentences.append("May be repeated" + (", or hold a comma-separated list." if field.kind is Kind.LIST else "."))
    if field.option.sweepable:
        sentences.append("A comma-separated list is a sweep.")
    if default := default_text(field):
        sentences.append(f"Default: {default}.")
    return " ".join(sentences)


def default_text(field: PlanField) -> str:
    """The default with its unit; empty where there is none, or where the help text tells what happens instead."""
    if field.kind is Kind.SWITCH:
        return "on" if field.default else "off"
    if field.default in (None, {}, ()):
        return ""
    text = ", ".join(field.default) if isinstance(field.default, tuple) else str(field.default)
    return f"{text} {field.unit}".rstrip()


def section_help(section: str) -> str:
    """What a section is about, in its own words."""
    return (Plan.model_fields[section].annotation.__doc__ or "").strip()
