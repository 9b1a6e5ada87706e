"""Numbers with a least and a most, by unit.

Owns: the bounds of every number a user gives. Does not own: which field has which, what one machine can carry.

The most is far above any real benchmark and far below what overflows a clock in ns, a 64-bit column or this machine's
memory: a mistyped number is refused at once instead of ending a service hours later.
"""

from typing import Annotated

from annotated_types import Ge, Gt, Le

COUNT_MAX = 10**12
ENTRIES_MAX = 10**7
"""All are made before the load."""
TOKENS_MAX = 10**7
"""In one request; some ten times the context of today's models."""
SECONDS_MAX = 10**8
"""Three years: 10**17 ns, of 9 * 10**18 in 64 bits."""
RATE_MIN, RATE_MAX = 1e-6, 1e7
"""Per second: gaps of eleven days, and of 100 ns."""
SHAPE_MIN, SHAPE_MAX = 1e-3, 1e6
"""Of a gamma distribution: below, its draws are 0; above, they are constant to a part in a thousand."""

Count = Annotated[int, Gt(0), Le(COUNT_MAX)]
Entries = Annotated[int, Gt(0), Le(ENTRIES_MAX)]
Tokens = Annotated[int, Gt(0), Le(TOKENS_MAX)]
TokensDeviation = Annotated[float, Ge(0), Le(TOKENS_MAX)]
Seconds = Annotated[float, Gt(0), Le(SECONDS_MAX)]
SecondsOrZero = Annotated[float, Ge(0), Le(SECONDS_MAX)]
WholeSecondsOrZero = Annotated[int, Ge(0), Le(SECONDS_MAX)]
Rate = Annotated[float, Gt(0), Ge(RATE_MIN), Le(RATE_MAX)]
Shape = Annotated[float, Gt(0), Ge(SHAPE_MIN), Le(SHAPE_MAX)]
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
