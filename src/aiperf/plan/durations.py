"""Durations with their unit: `500ms`, `1.5s`, `250us`, `2m`.

Owns: text → nanoseconds. Does not own: fields whose name carries the unit (`duration_s`), which are plain numbers.
"""

import re

from aiperf.units import NS_PER_MS, NS_PER_S

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s|m|h)")
_UNIT_NS = {"us": 1_000, "ms": NS_PER_MS, "s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3600 * NS_PER_S}
_LONGEST_NS = 24 * 3600 * NS_PER_S


def duration_ns(text: str) -> int:
    """The duration in ns. Raises: ValueError with the reason if it is none above 0, or longer than a day."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is no duration: write a number and its unit, such as 500ms, 30ms or 2s")
    length_ns = round(float(match[1]) * _UNIT_NS[match[2]])
    if not 0 < length_ns <= _LONGEST_NS:
        raise ValueError(f"'{text}' is not between a microsecond and a day")
    return length_ns


def duration_text(text: str) -> str:
    """The text itself. Raises: ValueError if it is no duration."""
    duration_ns(text)
    return text
