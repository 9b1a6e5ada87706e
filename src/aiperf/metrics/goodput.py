"""Objectives of `--goodput`, and which requests met them.

Owns: the decision for one request. Does not own: reading `"TAG:VALUE …"` (`aiperf.plan.checks`), counts and rates of
good requests (`rates`).
"""

from dataclasses import dataclass

import numpy as np

from aiperf.endpoint.exchange import Outcome
from aiperf.metrics.catalog import BY_TAG, ROW, Better
from aiperf.metrics.intervals import BoolArray, FloatArray
from aiperf.plan.checks import parse_goodput
from aiperf.record.facts import FactsArray


@dataclass(frozen=True, slots=True)
class Objective:
    """One bound that a good request keeps: at most `threshold`, or at least where higher is better."""

    tag: str
    threshold: float
    """In the metric's own unit."""

    @property
    def is_floor(self) -> bool:
        return BY_TAG[self.tag].better is Better.HIGHER


def objectives_of(text: str | None) -> tuple[Objective, ...]:
    """The objectives of `--goodput`; none for an empty text.

    Raises: PlanError naming every part that is no objective (never, for a plan that was checked).
    """
    if not text or not text.strip():
        return ()
    return tuple(Objective(tag, threshold) for tag, threshold in parse_goodput(text).items())


def good_requests(r: FactsArray, values: FloatArray, objectives: tuple[Objective, ...]) -> BoolArray:
    """Which records succeeded and met every objective; none when there are no objectives.

    `values`: as `catalog.values_of` gives them. An undefined metric meets no objective.
    Source: DistServe (OSDI 2024); a missing value counts as not good, as in AIPerf.
    """
    if not objectives:
        return np.zeros(len(r), np.bool_)
    good: BoolArray = r["outcome"] == Outcome.COMPLETED
    for objective in objectives:
        column = values[ROW[objective.tag]]
        good &= column >= objective.threshold if objective.is_floor else column <= objective.threshold
    return good
