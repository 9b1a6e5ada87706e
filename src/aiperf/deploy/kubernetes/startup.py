"""The start of a run's pods, as it is told, and when it is given up.

Owns: which lines are worth telling, how long each kind of trouble may last. Does not own: looking at pods. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aiperf.deploy.kubernetes.pod_state import PodState, creation_trouble, startup_lines
from aiperf.errors import ClusterError

TELL_INTERVAL_S = 5.0
QUIET_S = 3.0
"""A start that takes no longer needs no explanation."""

FATAL_PATIENCE_S = 2.0
"""What looks hopeless may be seen in a moment of change: it must be so twice."""
PULL_PATIENCE_S = 90.0
"""A registry that does not answer may do so in a moment."""
CREATION_PATIENCE_S = 30.0
"""A quota may be used by pods that are just ending."""
PLACE_PATIENCE_S = 600.0
"""Clusters that add nodes when pods wait take minutes to do so."""


class StartupWatch:
    """Looks at pods again and again until the run has begun."""

    def __init__(self, planned: int, *, needs_all: bool = False) -> None:
        """`needs_all`: the load does not begin before all pods are there, so one that cannot be made is the end also
        when the controller answers already."""
        self._planned = planned
        self._needs_all = needs_all
        self.answers = False
        self._since_s: dict[str, float] = {}
        """Since when each trouble has lasted without a break."""
        self._first_look_s: float | None = None
        self._told: list[str] = []
        self._told_s = float("-inf")
        self._events_s = float("-inf")
        self._events: Sequence[Mapping[str, Any]] = ()
        self.over = False

    def begun(self) -> None:
        """The controller answers, and tells from now on what it waits for."""
        self.answers = True
        self.over = not self._needs_all

    def wants_events(self, now_s: float) -> bool:
        """Whether events should be read for the next look: not for starts that go well."""
        if (
            self._first_look_s is None
            or now_s - self._first_look_s < QUIET_S
            or now_s - self._events_s < TELL_INTERVAL_S
        ):
            return False
        self._events_s = now_s
        return True

    def look(self, states: Sequence[PodState], events: Sequence[Mapping[str, Any]] | None, now_s: float) -> list[str]:
        """Lines to tell now. Raises: ClusterError if the start is hopeless, saying why."""
        self._first_look_s = self._first_look_s if self._first_look_s is not None else now_s
        if events is not None:
            self._events = events
        missing = len(states) < self._planned
        self.over |= self.answers and not missing
        creation = creation_trouble(self._events) if missing else ""
        if not self.over:
            self._give_up_when_hopeless(states, creation, now_s)
        lines = startup_lines(states, self._planned, creation)
        if self.answers or now_s - self._first_look_s < QUIET_S:
            return []
        if lines == self._told or now_s - self._told_s < TELL_INTERVAL_S:
            return []
        self._told, self._told_s = lines, now_s
        return ["; ".join(lines)]

    def _give_up_when_hopeless(self, states: Sequence[PodState], creation: str, now_s: float) -> None:
        limits = {f"{state.short_name}: {state.trouble}": _patience_s(state) for state in states if state.trouble}
        if creation:
            limits[f"pods cannot be made: {creation}"] = CREATION_PATIENCE_S
        self._since_s = {trouble: self._since_s.get(trouble, now_s) for trouble in limits}
        for trouble, limit_s in limits.items():
            if limit_s is not None and now_s - self._since_s[trouble] >= limit_s:
                raise ClusterError(f"the run cannot start: {trouble}")


def _patience_s(state: PodState) -> float | None:
    """How long this trouble may last; None: what it waits for is under way."""
    if state.fatal:
        return FATAL_PATIENCE_S
    if "cannot be pulled" in state.trouble:
        return PULL_PATIENCE_S
    return PLACE_PATIENCE_S if state.trouble.startswith("no node takes it") else None
