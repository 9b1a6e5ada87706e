"""Each row: what happened, and what the verdict makes of it."""

import numpy as np
import pytest

from aiperf.endpoint.exchange import ErrorKind, Outcome
from aiperf.metrics.run_facts import PhaseFacts, WorkerFacts
from aiperf.metrics.summary import summarise
from aiperf.metrics.verdict_reasons import Direction, Effect, Severity, Size
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


def worker(**observations: float) -> WorkerFacts:
    """A worker that observed this of itself; the measured phase lasts a second."""
    return WorkerFacts(worker_index=0, service_id="worker-0", observations=observations)


USER = {"timestamp_source": "user"}


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
    ("a worker was held back, and no record felt it", {"workers": [worker(throttled_ms=300)]}, "valid", "throttling"),
    ("a worker was held back next to never", {"workers": [worker(throttled_ms=5)]}, "valid", None),
    ("a worker waited for its CPU, and no record felt it", {"workers": [worker(run_queue_delay_ms=500)]},
     "valid", None),
    ("credits were lost", {"ledger": {"issued": 102, "lost": 2}}, "degraded", "lost_credits"),
    ("a record processor was lost", {"lost_services": ["record-processor-1 (killed)"]}, "degraded", "lost_services"),
    ("slices are missing, and no record", {"slices_lost_count": 2}, "degraded", "lost_slices"),
    ("narrow widths", {"columns": {"first_content_width_ns": 4 * MS}}, "valid", None),
    ("wide widths", {"columns": {"first_content_width_ns": 10 * MS}}, "degraded", "widths"),
    ("very wide widths", {"columns": {"first_content_width_ns": 30 * MS}}, "invalid", "widths"),
    ("wide at the end", {"columns": {"last_content_width_ns": 60 * MS}}, "degraded", "widths"),
    ("first tokens so wide that ITL may be higher", {"columns": {"first_content_width_ns": 4 * MS,
                                                                 "output_tokens": 2, "reasoning_tokens": 0,
                                                                 "last_content_ns": lambda ns: ns - 470 * MS}},
     "degraded", "widths"),
    ("sending took long", {"columns": {"send_done_ns": lambda ns: ns + 20 * MS}}, "degraded", "sending"),
    ("sending took very long", {"columns": {"send_done_ns": lambda ns: ns + 60 * MS}}, "invalid", "sending"),
    ("sending took long since the socket was full", {"columns": {"send_done_ns": lambda ns: ns + 60 * MS},
                                                     "workers": [worker(short_send_count=COUNT)]}, "valid", "sending"),
    ("user stamps, an attentive client", USER | {"workers": [worker(loop_lag_p99_ms=0.9)]}, "valid", "timestamps"),
    ("user stamps, a busy client", USER | {"workers": [worker(loop_lag_p99_ms=9, loop_lag_p50_ms=1)]},
     "degraded", "timestamps"),
    ("user stamps, a very busy client", USER | {"workers": [worker(drain_max_ms=40)]}, "invalid", "timestamps"),
    ("some user stamps, a very busy client", {"timestamp_source": "mixed", "workers": [worker(drain_max_ms=40)]},
     "degraded", "timestamps"),
    ("the timer was late under a cap", CAPPED | {"workers": [worker(timer_error_p50_ms=1, timer_error_p99_ms=15)]},
     "degraded", "timer_error"),
    ("the timer was very late under a cap", CAPPED | {"workers": [worker(timer_error_p99_ms=150)]},
     "invalid", "timer_error"),
    ("the timer was late, and no cap hides it", {"workers": [worker(timer_error_p99_ms=150)]}, "valid", None),
    ("a clock known well enough", {"workers": [worker(clock_uncertainty_ns=5 * MS)]}, "valid", "clock_uncertainty"),
    ("a clock that drifted", {"workers": [worker(clock_uncertainty_ns=5 * MS, clock_drift_ns=-8 * MS)]},
     "degraded", "clock_uncertainty"),
    ("a clock that drifted in closed loop", CLOSED | {"columns": NO_DUE, "workers": [worker(clock_drift_ns=8 * MS)]},
     "valid", None),
    ("the wall clock was set", {"workers": [worker(clock_step_count=1, replaced_stamp_count=3)]},
     "valid", "clock_steps"),
    ("slots were filled late", CLOSED | {"columns": NO_DUE, "workers": [worker(empty_slot_s=2)]},
     "degraded", "rearm_delay"),
    ("credits came late", CLOSED | {"columns": NO_DUE, "workers": [worker(starved_slot_s=1)]},
     "degraded", "starvation"),
    ("credits came very late", CLOSED | {"columns": NO_DUE, "workers": [worker(starved_slot_s=4)]},
     "invalid", "starvation"),
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


def test_slots_that_never_had_a_request_are_told_as_starved(judged):
    """A hundred requests of 600 ms in flight are 60 slot-seconds; as many again by a quarter had nothing to send."""
    verdict = judged(NO_DUE, workers=[worker(starved_slot_s=15, empty_slot_s=15)], **CLOSED)
    reasons = {reason.rule: reason for reason in verdict.reasons}
    assert reasons["starvation"].severity is Severity.INVALID
    (size,) = reasons["starvation"].effects[0].sizes.values()
    assert size.fraction == pytest.approx(0.25, rel=0.05)
    (same,) = reasons["rearm_delay"].effects[0].sizes.values()
    assert same.fraction == pytest.approx(size.fraction)
    assert "without any" in reasons["rearm_delay"].text


def test_a_loss_of_unknown_size_says_which_metrics_it_may_move_and_what_to_do(judged):
    for change, words in (
        ({"lost_services": ["record-processor-1 (killed)"]}, "repeat the run"),
        ({"slices_lost_count": 2}, "2 slices of response bytes did not arrive"),
    ):
        (reason,) = judged(**change).reasons
        assert words in reason.text
        assert "0 records" not in reason.text
        assert {effect.metric for effect in reason.effects} >= {"request_throughput", "request_count"}
        assert all(effect.direction is Direction.TOO_LOW and not effect.sizes for effect in reason.effects)


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
        "100.0% of first tokens and 0.0% of last ones are known only to within more than 1 ms. "
        "Time to first token may be too high by up to 10.0 ms (10.0%) at p50, 10.0 ms (10.0%) at p99."
    )
    size = Size(10, pytest.approx(0.1))
    assert reason.effects == [
        Effect("time_to_first_token", Direction.TOO_HIGH, "ms", {"p50": size, "p99": size}),
    ]


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


@pytest.mark.parametrize(("late_ms", "status"), [(20, "valid"), (150, "degraded"), (800, "invalid")])
def test_workers_that_begin_late_leave_load_out(judged, late_ms, status):
    """Two workers; the run lasts 1.6 s."""
    second = np.arange(COUNT) % 2

    def late(instants):
        return instants + second * late_ms * MS

    columns = NO_DUE | {"worker_index": second, "dispatched_ns": late}
    workers = [WorkerFacts(worker_index=index, service_id=f"worker-{index}") for index in range(2)]
    verdict = judged(columns, workers=workers, **CLOSED)
    assert verdict.status == status
    if status != "valid":
        (effect, _) = verdict.reasons[0].effects
        assert (effect.metric, effect.direction) == ("request_throughput", "too_low")


def test_the_weight_on_a_metric_is_that_of_the_heaviest_reason(judged):
    verdict = judged({"first_content_width_ns": 10 * MS, "send_done_ns": lambda ns: ns + 60 * MS})
    assert verdict.touched("time_to_first_token") is Severity.INVALID
    assert verdict.touched("request_latency") is Severity.INVALID
    assert verdict.touched("output_sequence_length") is None


def test_what_touches_itl_touches_its_inverse_too(judged):
    verdict = judged({"last_content_width_ns": 100 * MS})
    assert verdict.touched("inter_token_latency") is Severity.DEGRADED
    assert verdict.touched("output_token_throughput_per_user") is Severity.DEGRADED
    assert "output_token_throughput_per_user" not in verdict.reasons[0].text


def test_a_note_touches_nothing(judged):
    full = WorkerFacts(worker_index=0, service_id="worker-0", observations={"short_send_count": COUNT})
    verdict = judged({"send_done_ns": lambda ns: ns + 60 * MS}, workers=[full])
    assert verdict.reasons[0].effects
    assert verdict.touched("time_to_first_token") is None


def test_load_that_was_not_there_makes_throughput_too_low_by_its_share(judged):
    verdict = judged(NO_DUE | {"rearm_delay_ns": 20 * MS}, **CLOSED)
    effect = verdict.reasons[0].effects[0]
    assert (effect.metric, effect.direction) == ("request_throughput", "too_low")
    assert effect.sizes["avg"].fraction == pytest.approx(20 / 610)  # a request takes 610 ms
