"""Objectives of `--goodput`, and which requests met them.

Owns: reading `"TAG:VALUE …"` and the decision for one request. Does not own: counts and rates of good requests
(`rates`).
"""

from dataclasses import dataclass

import numpy as np

from aiperf.endpoint.exchange import Outcome
from aiperf.errors import PlanError, Problem
from aiperf.metrics.catalog import BY_TAG, PER_REQUEST, ROW, Better
from aiperf.metrics.intervals import BoolArray, FloatArray
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


def parse_goodput(text: str | None) -> tuple[Objective, ...]:
    """The objectives of `"time_to_first_token:200 inter_token_latency:20"`; none for an empty text.

    Raises: PlanError naming every part that is no objective.
    """
    objectives, problems = [], []
    allowed = {metric.tag for metric in PER_REQUEST if metric.exported and metric.better is not Better.NEITHER}
    for part in (text or "").replace(",", " ").split():
        tag, _, value = part.partition(":")
        if tag not in allowed:
            hint = "Objectives are per-request metrics, such as time_to_first_token or request_latency."
            problems.append(Problem(f"`{tag}` is no metric that a request can meet", "--goodput", hint))
            continue
        try:
            threshold = float(value)
        except ValueError:
            threshold = -1.0
        if not 0 <= threshold < float("inf"):
            hint = f"Write {tag}:NUMBER, in {BY_TAG[tag].unit}."
            problems.append(Problem(f"`{part}` has no bound that is a number", "--goodput", hint))
            continue
        objectives.append(Objective(tag, threshold))
    if problems:
        raise PlanError(*problems)
    return tuple(objectives)


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
