"""Each row: what happened, and what the verdict makes of it."""

import numpy as np
import pytest

from aiperf.endpoint.exchange import ErrorKind, Outcome
from aiperf.metrics.run_facts import PhaseFacts, WorkerFacts
from aiperf.metrics.summary import summarise
from aiperf.schedule.ledger import Ledger
from aiperf.schedule.phases import PhaseKind

MS = 1_000_000
COUNT = 100
ALL_WELL = {"issued": COUNT, "completed": COUNT, "offered": COUNT}
LOST_WORKER = WorkerFacts(worker_index=1, service_id="worker-1", lost_reason="killed")


@pytest.fixture
def judged(make_facts, make_partial, make_run):
    def judge(columns=None, ledger=None, **run):
        rows = make_facts(COUNT)
        spread = np.arange(COUNT) * 10 * MS
        for name in ("due_ns", "dispatched_ns", "sent_ns"):
            rows[name] += spread
        for name in ("first_content_ns", "last_content_ns", "end_ns"):
            rows[name] += spread
        for name, value in (columns or {}).items():
            rows[name] = value if not callable(value) else value(rows[name])
        settings = {"plan": {"load": {"request_rate": 100.0}}} | run
        return summarise(make_partial(rows), make_run(Ledger(**(ALL_WELL | (ledger or {}))), **settings)).verdict

    return judge


CLOSED = {"plan": {"load": {"concurrency": 10}}}
CAPPED = {"plan": {"load": {"request_rate": 100.0, "concurrency": 10}}}
NO_DUE = {"due_ns": -1}


def phase_with(**changes) -> PhaseFacts:
    """The measured phase of one second in which all went well but for the changes."""
    return PhaseFacts(phase=PhaseKind.PROFILING, start_ns=0, end_ns=10**9, ledger=Ledger(**ALL_WELL), **changes)


def throttled(percent: float) -> WorkerFacts:
    """A worker that its CPU limit held back for so much of the measured phase, which lasts a second."""
    return WorkerFacts(worker_index=0, service_id="worker-0", observations={"throttled_ms": percent * 10})


RULES = [
    ("all is well", {}, "valid", None),
    ("every request failed", {"columns": {"outcome": Outcome.FAILED, "error_kind": ErrorKind.RESET},
                              "ledger": {"completed": 0, "failed": COUNT}}, "invalid", "no_success"),
    ("every request failed at once", {"columns": NO_DUE | {"outcome": Outcome.FAILED, "sent_ns": -1,
                                                           "rearm_delay_ns": MS, "error_kind": ErrorKind.RESET},
                                      "ledger": {"completed": 0, "failed": COUNT}}, "invalid", "no_success"),
    ("the measured phase never began", {"phases": []}, "invalid", "ledger"),
    ("one credit is unaccounted for", {"ledger": {"issued": 101}}, "degraded", "ledger"),
    ("a tenth of credits is unaccounted for", {"ledger": {"issued": 111}}, "invalid", "ledger"),
    ("a record is missing and nobody knows", {"ledger": {"issued": 101, "completed": 101}}, "degraded", "ledger"),
    ("a record is known to be lost", {"ledger": {"issued": 101, "completed": 101}, "records_lost_count": 1},
     "degraded", "lost_records"),
    ("a tenth of records is lost", {"ledger": {"issued": 111, "completed": 111}, "records_lost_count": 11},
     "invalid", "lost_records"),
    ("a worker was lost", {"ledger": {"issued": 102, "lost": 2}, "workers": [LOST_WORKER]}, "degraded", "lost_workers"),
    ("a worker was lost with a tenth", {"ledger": {"issued": 111, "lost": 11}, "workers": [LOST_WORKER]},
     "invalid", "lost_workers"),
    ("some slots had no worker for a while", {"columns": NO_DUE, "plan": CLOSED["plan"],
                                              "phases": [phase_with(unplaced_slot_s=0.05)]}, "valid", "slots"),
    ("a fiftieth of the slots had no worker", {"columns": NO_DUE, "plan": CLOSED["plan"],
                                               "phases": [phase_with(unplaced_slot_s=0.2)]}, "degraded", "slots"),
    ("a tenth of the slots had no worker", {"columns": NO_DUE, "plan": CLOSED["plan"],
                                            "phases": [phase_with(unplaced_slot_s=1.0)]}, "invalid", "slots"),
    ("a worker was held back a little", {"workers": [throttled(0.5)]}, "valid", "throttling"),
    ("a worker was held back next to never", {"workers": [throttled(0.05)]}, "valid", None),
    ("a worker was held back", {"workers": [throttled(2)]}, "degraded", "throttling"),
    ("credits were lost", {"ledger": {"issued": 102, "lost": 2}}, "degraded", "lost_credits"),
    ("a record processor was lost", {"lost_services": ["record-processor-1 (killed)"]}, "degraded", "lost_services"),
    ("narrow widths", {"columns": {"first_content_width_ns": 4 * MS}}, "valid", None),
    ("wide widths", {"columns": {"first_content_width_ns": 10 * MS}}, "degraded", "widths"),
    ("very wide widths", {"columns": {"first_content_width_ns": 30 * MS}}, "invalid", "widths"),
    ("wide at the end", {"columns": {"last_content_width_ns": 60 * MS}}, "degraded", "widths"),
    ("dispatched a little late", {"columns": {"dispatched_ns": lambda ns: ns + 8 * MS}}, "valid", None),
    ("dispatched late", {"columns": {"dispatched_ns": lambda ns: ns + 15 * MS}}, "degraded", "dispatch_lag"),
    ("dispatched very late", {"columns": {"dispatched_ns": lambda ns: ns + 150 * MS}}, "invalid", "dispatch_lag"),
    ("late for want of a slot", CAPPED | {"columns": {"dispatched_ns": lambda ns: ns + 150 * MS}}, "valid", None),
    ("slots rearmed at once", CLOSED | {"columns": NO_DUE | {"rearm_delay_ns": 1 * MS}}, "valid", None),
    ("slots rearmed slowly", CLOSED | {"columns": NO_DUE | {"rearm_delay_ns": 20 * MS}}, "degraded", "rearm_delay"),
    ("slots rearmed very slowly", CLOSED | {"columns": NO_DUE | {"rearm_delay_ns": 60 * MS}}, "invalid", "rearm_delay"),
    ("one in 200 unsent", {"ledger": {"offered": 201, "unsent": 1}}, "valid", "rate"),
    ("2 % unsent", {"ledger": {"offered": 102, "unsent": 2}}, "degraded", "rate"),
    ("10 % unsent", {"ledger": {"offered": 111, "unsent": 11}}, "invalid", "rate"),
    ("10 % unsent within a cap", CAPPED | {"ledger": {"offered": 111, "unsent": 11}}, "degraded", "rate"),
    ("unsent since interrupted", {"ledger": {"offered": 200, "unsent": 100}, "outcome": "interrupted"},
     "valid", "interrupted"),
    ("aborted", {"outcome": "aborted"}, "degraded", "aborted"),
    ("stamped in user space", {"timestamp_source": "user"}, "valid", "timestamps"),
    ("chunks shared reads", {"columns": {"shared_chunk_count": 5}}, "valid", "shared_chunks"),
    ("responses waited on disk", {"deferred_bytes": 10**9}, "valid", "deferred"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "status", "rule"), [row[1:] for row in RULES], ids=[row[0] for row in RULES])
def test_rule(judged, case, status, rule):
    verdict = judged(**case)
    assert verdict.status == status, verdict.reasons
    assert [reason.rule for reason in verdict.reasons][:1] == ([rule] if rule else [])


def test_the_services_errors_are_no_matter_of_trust(judged):
    def half(outcomes):
        outcomes[::2] = Outcome.FAILED
        return outcomes

    verdict = judged({"outcome": half, "error_kind": ErrorKind.HTTP_STATUS}, {"completed": 50, "failed": 50})
    assert verdict.status == "valid"


def test_failures_of_this_side_are(judged):
    def one(outcomes):
        outcomes[0] = Outcome.FAILED
        return outcomes

    verdict = judged({"outcome": one, "error_kind": ErrorKind.CLIENT_RESOURCE}, {"completed": 99, "failed": 1})
    assert verdict.status == "degraded"
    assert verdict.reasons[0].rule == "client_resource"


def test_censored_requests_are_noted(judged):
    def last(outcomes):
        outcomes[-1] = Outcome.CENSORED
        return outcomes

    verdict = judged({"outcome": last}, {"completed": 99, "censored": 1})
    assert verdict.status == "valid"
    assert [reason.rule for reason in verdict.reasons] == ["censored"]


def test_reasons_say_how_far_which_metric_may_be_off(judged):
    (reason,) = judged({"first_content_width_ns": 10 * MS}).reasons
    assert reason.text == (
        "Arrivals were not seen sharply, since the client was busy or chunks came in bunches: "
        "100.0% are known only to within more than 1 ms. "
        "True time to first token may be lower by up to 10.0 ms (10%) at p50 and 10.0 ms (10%) at p99."
    )


def test_the_heaviest_reason_comes_first(judged):
    verdict = judged({"first_content_width_ns": 10 * MS}, {"offered": 111, "unsent": 11}, timestamp_source="user")
    assert [reason.severity for reason in verdict.reasons] == ["invalid", "degraded", "note"]


def test_cut_requests_are_not_taken_for_wide_intervals(judged):
    def last(outcomes):
        outcomes[-20:] = Outcome.CENSORED
        return outcomes

    def long_after(ends):
        ends[-20:] += 30_000 * MS
        return ends

    verdict = judged({"outcome": last, "end_ns": long_after}, {"completed": 80, "censored": 20})
    assert [reason.rule for reason in verdict.reasons] == ["censored"]
