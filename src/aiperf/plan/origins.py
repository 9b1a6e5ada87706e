"""Where each value of a Plan came from, in the user's own words.

Owns: the mapping's meaning. Does not own: how origins are found (`layers`).
"""

from collections.abc import Mapping

DEFAULT = "default"

Origins = Mapping[str, str]
"""By field name: `--concurrency`, `AIPERF_CONCURRENCY`, `bench.yaml: load.concurrency`, or DEFAULT."""


def is_given(origins: Origins, name: str) -> bool:
    """Whether the user decided this field. Of a Plan made in code (no origins) nothing was."""
    return origins.get(name, DEFAULT) != DEFAULT
