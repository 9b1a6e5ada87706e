"""What failed, by kind and status, with the first text of each.

Owns: the tally of failed requests. Does not own: the names of kinds (`aiperf.endpoint.exchange`).
"""

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from aiperf.endpoint.exchange import ErrorKind, Outcome
from aiperf.record.facts import FactsArray

TEXT_LIMIT = 300
"""Characters kept of a text: enough for a server's one-line reason, too few for an HTML page."""


class Failure(msgspec.Struct, array_like=True):
    """All failures of one kind and status."""

    kind: int
    http_status: int
    """0 unless the status is the failure: a stream that breaks off is the same failure before and after its 200."""
    count: int = 0
    first_ns: int = 1 << 62
    first_text: str = ""
    """Of the earliest failure that had a text."""

    @property
    def name(self) -> str:
        """What users read: `connect_refused`."""
        return ErrorKind(self.kind).name.lower()


class Failures:
    """Failed requests by kind and status."""

    __slots__ = ("by_key",)

    def __init__(self, failures: Iterable[Failure] = ()) -> None:
        self.by_key = {(failure.kind, failure.http_status): failure for failure in failures}

    @classmethod
    def of(cls, r: FactsArray, texts: Mapping[int, str]) -> "Failures":
        """The failures among these records. `texts`: error text by position of the record."""
        found = cls()
        for position in np.flatnonzero(r["outcome"] == Outcome.FAILED).tolist():
            row = r[position]
            kind = int(row["error_kind"])
            failure = Failure(kind, int(row["http_status"]) if kind == ErrorKind.HTTP_STATUS else 0, 1)
            text = texts.get(position, "")
            if text:
                failure.first_ns, failure.first_text = int(row["end_ns"]), text[:TEXT_LIMIT]
            found._add(failure)
        return found

    def merge(self, other: "Failures") -> None:
        """Adds the other's failures."""
        for failure in other.by_key.values():
            self._add(failure)

    def _add(self, more: Failure) -> None:
        failure = self.by_key.setdefault((more.kind, more.http_status), Failure(more.kind, more.http_status))
        failure.count += more.count
        if (more.first_ns, more.first_text) < (failure.first_ns, failure.first_text):
            failure.first_ns, failure.first_text = more.first_ns, more.first_text

    def most_frequent(self) -> list[Failure]:
        """Every kind, the most frequent first."""
        return sorted(self.by_key.values(), key=lambda failure: (-failure.count, failure.kind, failure.http_status))
