"""Kubernetes quantities: `500m`, `1.5`, `512Mi`, `1e9`.

Owns: text → millicores or bytes, and back in the shortest usual form. Does not own: which sizes a pod gets.

Source: Kubernetes, apimachinery `resource.Quantity`. CPU below 1m and parts of a byte are rounded up, as there.
"""

import math
import re
from fractions import Fraction

MIB = 1 << 20
GIB = 1 << 30

_QUANTITY = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([eE][+-]?\d{1,2})|([KMGTPE]i|[numkMGTPE])?)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def read_quantity(text: str) -> Fraction:
    """The number a quantity stands for, exactly. Raises: ValueError if it is none."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is not a Kubernetes quantity such as 500m, 2 or 512Mi")
    number, exponent, suffix = Fraction(match[1]), match[2], match[3] or ""
    if suffix in _BINARY:
        return number * (1 << 10 * (_BINARY.index(suffix) + 1))
    return number * _power_of_ten(int(exponent[1:]) if exponent else _DECIMAL[suffix])


def _power_of_ten(exponent: int) -> Fraction:
    return Fraction(10**exponent) if exponent >= 0 else Fraction(1, 10**-exponent)


def millicores(text: str) -> int:
    """CPU in thousandths of a core, rounded up. Raises: ValueError."""
    return math.ceil(read_quantity(text) * 1000)


def memory_bytes(text: str) -> int:
    """Memory in bytes, rounded up. Raises: ValueError."""
    return math.ceil(read_quantity(text))


def cpu_quantity(text: str) -> str:
    """The text itself. Raises: ValueError if it is no CPU size above 0."""
    if millicores(text) <= 0:
        raise ValueError(f"'{text}' is no CPU size: it must be above 0")
    return text


def memory_quantity(text: str) -> str:
    """The text itself. Raises: ValueError if it is no memory size that a process could live in."""
    size = memory_bytes(text)
    if size <= 0:
        raise ValueError(f"'{text}' is no memory size: it must be above 0")
    if size < MIB:
        raise ValueError(f"'{text}' is less than a MiB: m is a thousandth; write 512Mi for 512 MiB")
    return text


def cpu_text(cores_in_thousandths: int) -> str:
    """`250m`, or `2` where it is whole."""
    whole, rest = divmod(cores_in_thousandths, 1000)
    return str(whole) if not rest else f"{cores_in_thousandths}m"


def memory_text(size_bytes: int) -> str:
    """In the largest binary unit in which it is whole: `96Mi`, `2Gi`; bytes without a unit otherwise."""
    for power, suffix in reversed(list(enumerate(_BINARY, start=1))):
        if size_bytes and size_bytes % 1024**power == 0:
            return f"{size_bytes // 1024**power}{suffix}"
    return str(size_bytes)
