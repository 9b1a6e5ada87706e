"""Whether a load is not worth going on with.

Owns: which failures time does not mend. Does not own: what follows (`run_lifecycle`). Pure.
"""

from aiperf.schedule.phases import PhaseKind, kind_of
from aiperf.wire.messages import Progress

HOPELESS_FAILURES = 10
HOPELESS_KINDS = frozenset({"dns", "connect_refused", "connect_timeout", "connect_other", "tls"})
HOPELESS_STATUSES = frozenset({"http_status 401", "http_status 403", "http_status 404", "http_status 405"})


def is_hopeless(progress: Progress) -> bool:
    """At least HOPELESS_FAILURES requests ended, every one by a failure that time does not mend.

    Going on for the planned time would only delay the message. A step of a calibration is soon over, and its failures
    are no fault of the endpoint.
    """
    if kind_of(progress.phase) is PhaseKind.CALIBRATION:
        return False
    if progress.completed_count or progress.failed_count < HOPELESS_FAILURES:
        return False
    return all(kind in HOPELESS_KINDS or kind in HOPELESS_STATUSES for kind in progress.errors)
