"""Conversions at the edge. Inside, every time is an integer number of nanoseconds and says so in its name."""

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


def ns_from_s(seconds: float) -> int:
    """The nearest whole number of nanoseconds. Units: seconds → nanoseconds."""
    return round(seconds * NS_PER_S)
