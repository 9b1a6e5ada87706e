"""Tables as the page of results holds them: Markdown, columns aligned for those who read them in a terminal."""

import statistics
from collections.abc import Sequence


class Table:
    """Rows under a heading. A row may be shorter than it."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._rows = [list(columns)]

    def add(self, row: Sequence[str]) -> None:
        missing = len(self._rows[0]) - len(row)
        self._rows.append([*row, *[""] * missing])

    def __str__(self) -> str:
        widths = [max(len(row[index]) for row in self._rows) for index in range(len(self._rows[0]))]
        lines = [_line([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]) for row in self._rows]
        lines.insert(1, _line(["-" * width for width in widths]))
        return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def median(runs: Sequence[object], field: str) -> float:
    """Of one field of several runs. Undefined when: there are none (an error)."""
    return statistics.median(getattr(run, field) for run in runs)


def ratio(value: float, of: float) -> str:
    """How many times `of` the value is, in two digits; empty where that says nothing."""
    if of <= 0 or value <= 0:
        return ""
    times = value / of
    return f"{times:,.0f}" if times >= 10 else f"{times:.2g}"
