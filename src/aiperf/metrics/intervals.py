"""Reading a column of facts as numbers: NaN stands where the facts say there is none.

Owns: the step from integer nanoseconds with `NONE` to floats in export units with NaN. Does not own: any metric.
"""

import numpy as np
import numpy.typing as npt

from aiperf.record.facts import NONE, FactsArray
from aiperf.units import NS_PER_MS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def between_ms(r: FactsArray, start: str, end: str) -> FloatArray:
    """The time from one instant to another. Units: ms. Undefined when either instant is missing."""
    first, last = r[start], r[end]
    gap: FloatArray = (last - first) / NS_PER_MS
    gap[(first == NONE) | (last == NONE)] = np.nan
    return gap


def duration_ms(r: FactsArray, name: str) -> FloatArray:
    """A duration column. Units: ms. Undefined when missing."""
    column = r[name]
    duration: FloatArray = column / NS_PER_MS
    duration[column == NONE] = np.nan
    return duration


def counted(r: FactsArray, name: str) -> FloatArray:
    """A column of counts. Undefined when unknown."""
    column = r[name]
    count: FloatArray = column.astype(np.float64)
    count[column == NONE] = np.nan
    return count


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """The quotient. Undefined when the denominator is not positive, or either side is undefined."""
    quotient = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient
