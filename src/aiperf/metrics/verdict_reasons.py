"""What the verdict says: reasons, each with the metrics it touches and how far; causes that explain them.

Owns: these as data, their wording, and severity as a function of an effect's size. Does not own: the rules that find
them (`verdict_sharpness`, `verdict_punctuality`, `verdict_load`, `verdict_accounts`, `verdict_symptoms`).
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from aiperf.metrics.distribution import MetricResult


class Severity(StrEnum):
    """How much a reason weighs; the verdict's status is that of the heaviest."""

    NOTE = "note"
    DEGRADED = "degraded"
    INVALID = "invalid"


class Direction(StrEnum):
    """Which way the reported number may differ from the true one."""

    TOO_HIGH = "too_high"
    TOO_LOW = "too_low"
    EITHER = "either"


class Size(msgspec.Struct, frozen=True):
    """How far one statistic of a metric may be off, at most."""

    amount: float
    """In the metric's unit."""
    fraction: float
    """Of the reported value."""


class Effect(msgspec.Struct, frozen=True):
    """What a reason does to one metric."""

    metric: str
    direction: Direction
    unit: str
    sizes: dict[str, Size] = {}
    """By statistic: p50 and p99 of a distribution, avg of a single value. Empty: the size cannot be known."""

    @property
    def worst_fraction(self) -> float:
        """0 if the size is not known."""
        return max((size.fraction for size in self.sizes.values()), default=0.0)


class Reason(msgspec.Struct, frozen=True):
    """One thing found."""

    rule: str
    severity: Severity
    text: str
    """What happened, which metric it touches, and how far."""
    effects: list[Effect] = []


class Cause(msgspec.Struct, frozen=True):
    """Something that held a worker up, whether or not a record felt it."""

    symptom: str
    worker: str
    """Which one it befell most."""
    amount: float
    """In the unit that ends the name of the observation."""
    observation: str
    """Where the amount stands in the worker's row."""
    text: str


def shift(
    metrics: Mapping[str, MetricResult], tag: str, bound: str, direction: Direction, *, negligible: float
) -> Effect | None:
    """The effect if the truth lies between a metric and its bound, as far as they are apart at p50 and p99.

    If every value lies between its own bounds, so does every percentile. None when it is negligible in the metric's
    unit, or nothing is known.
    """
    reported, bounding = metrics.get(tag), metrics.get(bound)
    if reported is None or bounding is None:
        return None
    amounts = {p: abs(reported.statistics[p] - bounding.statistics[p]) for p in ("p50", "p99")}
    return effect(metrics, tag, direction, amounts, negligible=negligible)


def effect(
    metrics: Mapping[str, MetricResult],
    tag: str,
    direction: Direction,
    amounts: Mapping[str, float],
    *,
    negligible: float = 0.0,
) -> Effect | None:
    """The effect of these sizes, by statistic. None when all are negligible or the run does not have the metric."""
    reported = metrics.get(tag)
    if reported is None or max(amounts.values()) <= negligible:
        return None
    sizes = {}
    for statistic, amount in amounts.items():
        value = reported.statistics.get(statistic, 0.0)
        sizes[statistic] = Size(amount, amount / value if value > 0 else 0.0)
    return Effect(tag, direction, reported.unit, sizes)


def in_proportion(
    metrics: Mapping[str, MetricResult], tags: Iterable[str], direction: Direction, fraction: float
) -> list[Effect]:
    """The effects on single values that are off by a fraction of themselves; of those that the run has."""
    return [
        Effect(tag, direction, metrics[tag].unit, {"avg": Size(fraction * metrics[tag].statistics["avg"], fraction)})
        for tag in tags
        if tag in metrics
    ]


def weight(fraction: float, degraded: float, invalid: float) -> Severity:
    """The severity of an effect of this size."""
    if fraction > invalid:
        return Severity.INVALID
    return Severity.DEGRADED if fraction > degraded else Severity.NOTE


NAMES = {
    "time_to_first_token": "time to first token",
    "request_latency": "request latency",
    "inter_token_latency": "inter-token latency",
    "effective_time_to_first_token": "time to first token from intended time",
    "effective_latency": "latency from intended time",
    "request_throughput": "request throughput",
    "output_token_throughput": "output token throughput",
    "total_token_throughput": "token throughput",
    "achieved_rate": "achieved rate",
    "request_count": "number of successes",
    "start_skew": "start skew",
    "dispatch_lag": "dispatch lag",
}
"""What effects are on."""
_WORDS = {
    Direction.TOO_HIGH: "may be too high by up to",
    Direction.TOO_LOW: "may be too low by up to",
    Direction.EITHER: "may be off by up to",
}


def in_words(effects: Iterable[Effect]) -> str:
    """A sentence for each effect whose size is known."""
    return "".join(f" {_sentence(each)}" for each in effects if each.sizes)


def _sentence(each: Effect) -> str:
    sizes = ", ".join(
        f"{size.amount:,.{_decimals(size.amount)}f} {each.unit} ({size.fraction:.1%})"
        f"{'' if statistic == 'avg' else f' at {statistic}'}"
        for statistic, size in each.sizes.items()
    )
    name = NAMES[each.metric]
    return f"{name[0].upper()}{name[1:]} {_WORDS[each.direction]} {sizes}."


def _decimals(amount: float) -> int:
    return 2 if amount < 10 else 1 if amount < 1000 else 0
