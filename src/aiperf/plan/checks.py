"""What is wrong with a Plan whose single values are fine: fields that contradict, or that have no effect.

Owns: every check across fields and of the files a Plan names, as a table of small functions; the parsed form of
`--goodput`. Does not own: single values (`plan`, `values`), whether the service answers.

Plan, origins → problems, all at once. Reads file metadata and the head of named files; changes nothing.
"""

import math
import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from aiperf.errors import PlanError, Problem
from aiperf.plan.durations import duration_ns
from aiperf.plan.kubernetes_checks import (
    PER_SERVICE_SIZES,
    claim_holds_a_file,
    cluster_choices_go_together,
    cluster_flags_have_a_cluster,
    endpoint_is_not_the_pod_itself,
    is_on_this_machine,
    sizes_are_of_pods_there_are,
)
from aiperf.plan.origins import DEFAULT, Origins, is_given
from aiperf.plan.plan import SWEEPABLE, Plan
from aiperf.plan.source_address import source_addresses
from aiperf.plan.spelling import did_you_mean
from aiperf.units import NS_PER_S

STREAMING_TAGS = frozenset(
    {
        "time_to_first_token",
        "time_to_first_output_token",
        "time_to_second_token",
        "inter_token_latency",
        "output_token_throughput_per_user",
        "prefill_throughput_per_user",
        "effective_time_to_first_token",
    }
)
"""Per-request metrics that are undefined without streaming."""

INTENDED_TIME_TAGS = frozenset({"effective_latency", "effective_time_to_first_token"})
"""Per-request metrics counted from the intended time, which only a request rate gives."""

_HTTP_PARTS = "blocked dns_lookup connecting tls_handshaking sending waiting receiving duration total"
_HTTP_TAGS = frozenset(f"http_req_{part}" for part in _HTTP_PARTS.split())

GOODPUT_TAGS = STREAMING_TAGS | INTENDED_TIME_TAGS | _HTTP_TAGS | {"request_latency", "e2e_output_token_throughput"}
"""The metrics an objective of `--goodput` may name: those with a value for each request, and a better side.

Written down here because metrics lie above the plan; a test holds it against their catalog.
"""

_TAG_BY_NICKNAME = {
    "ttft": "time_to_first_token",
    "itl": "inter_token_latency",
    "tpot": "inter_token_latency",
    "e2e": "request_latency",
    "e2el": "request_latency",
    "latency": "request_latency",
}
"""What other tools call them."""


class Check(NamedTuple):
    """One check, and the fields it looks at: if one of them is broken anyway, the check would only confuse."""

    find: Callable[[Plan, Origins], Iterator[Problem]]
    reads: frozenset[str]


def check_plan(plan: Plan, origins: Origins, broken: Collection[str] = ()) -> list[Problem]:
    """Every problem across the Plan's fields, in the order of CHECKS. Checks that read a broken field are left out."""
    return [problem for check in CHECKS if check.reads.isdisjoint(broken) for problem in check.find(plan, origins)]


def is_sweep(plan: Plan) -> bool:
    """Whether some field holds more than one value, so that the Plan stands for several benchmarks."""
    return bool(_swept(plan))


def sweep_problems(plan: Plan, origins: Origins) -> list[Problem]:
    """One problem for each swept field: `profile` runs a single benchmark in this version."""
    hint = "This version runs one benchmark at a time: give one value, and run the command once for each."
    return [Problem("a list of values is a sweep", origins.get(name, DEFAULT), hint) for name in _swept(plan)]


def _swept(plan: Plan) -> list[str]:
    return [name for _, section in plan for name, value in section if name in SWEEPABLE and isinstance(value, tuple)]


def parse_goodput(text: str, known_tags: Collection[str] = GOODPUT_TAGS) -> dict[str, float]:
    """The objectives by metric tag: `request_latency:250 inter_token_latency:20`. Units: the metrics' export units.

    Raises: PlanError with every objective that cannot be read.
    """
    objectives, problems = _read_goodput(text, "--goodput", known_tags)
    if problems:
        raise PlanError(*problems)
    return objectives


def _read_goodput(text: str, origin: str, known_tags: Collection[str]) -> tuple[dict[str, float], list[Problem]]:
    objectives: dict[str, float] = {}
    problems: list[Problem] = []
    for part in re.split(r"[\s,]+", text.strip()):
        tag, _, value = part.partition(":")
        limit = _positive(value)
        if tag not in known_tags:
            nickname = _TAG_BY_NICKNAME.get(tag.lower())
            hint = f"Did you mean {nickname}?" if nickname else did_you_mean(tag, known_tags)
            hint = hint or f"Known: {', '.join(sorted(known_tags))}."
            problems.append(Problem(f"'{tag}' is no metric that a request can meet or miss", origin, hint))
        elif limit is None:
            hint = 'Objectives are written "time_to_first_token:200 inter_token_latency:20".'
            problems.append(Problem(f"'{part}' has no number above 0 after the tag", origin, hint))
        elif tag in objectives:
            problems.append(Problem(f"'{tag}' is given twice", origin))
        else:
            objectives[tag] = limit
    return objectives, problems


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


def goodput_is_readable(plan: Plan, origins: Origins) -> Iterator[Problem]:
    if plan.results.goodput is not None:
        yield from _read_goodput(plan.results.goodput, origins.get("goodput", DEFAULT), GOODPUT_TAGS)[1]


def goodput_is_measurable(plan: Plan, origins: Origins) -> Iterator[Problem]:
    """The objectives' metrics exist in this kind of run."""
    if plan.results.goodput is None:
        return
    objectives, _ = _read_goodput(plan.results.goodput, "", GOODPUT_TAGS)
    origin = origins.get("goodput", DEFAULT)
    for tag in objectives:
        if tag in STREAMING_TAGS and not plan.endpoint.streaming:
            yield Problem(f"{tag} is only known of streamed responses", origin, "Add --streaming.")
        if tag in INTENDED_TIME_TAGS and plan.load.request_rate is None:
            hint = "Give a --request-rate, or take request_latency or time_to_first_token."
            yield Problem(f"{tag} counts from the intended time, which only a request rate gives", origin, hint)


def smoothness_has_its_pattern(plan: Plan, origins: Origins) -> Iterator[Problem]:
    if plan.load.arrival_smoothness is not None and plan.load.arrival_pattern != "gamma":
        what = f"has no effect on {plan.load.arrival_pattern} arrivals"
        yield Problem(what, origins.get("arrival_smoothness", DEFAULT), "Add --arrival-pattern gamma.")


def pattern_has_a_rate(plan: Plan, origins: Origins) -> Iterator[Problem]:
    if is_given(origins, "arrival_pattern") and plan.load.request_rate is None:
        hint = "Add --request-rate; with --concurrency alone, each response makes room for the next request."
        yield Problem("has no effect without a request rate", origins["arrival_pattern"], hint)


def ramp_has_a_concurrency(plan: Plan, origins: Origins) -> Iterator[Problem]:
    """A ramp leads up to a concurrency, and ends before the load does."""
    load, origin = plan.load, origins.get("concurrency_ramp_s", DEFAULT)
    if not load.concurrency_ramp_s:
        return
    if load.concurrency is None:
        yield Problem("has no effect without a concurrency", origin, "Add --concurrency.")
    if load.duration_s is not None and load.concurrency_ramp_s >= load.duration_s:
        what = f"is as long as the load: the whole concurrency is never reached in {load.duration_s:g} s"
        yield Problem(what, origin, "Make it shorter, or --duration longer.")


def warmup_pattern_has_a_rate(plan: Plan, origins: Origins) -> Iterator[Problem]:
    has_rate = plan.load.request_rate is not None or plan.warmup.warmup_request_rate is not None
    if plan.warmup.warmup_arrival_pattern is not None and not has_rate:
        origin = origins.get("warmup_arrival_pattern", DEFAULT)
        yield Problem("has no effect without a request rate", origin, "Add --warmup-request-rate.")


def warmup_has_an_end(plan: Plan, origins: Origins) -> Iterator[Problem]:
    """How to warm up is only said where there is a warm-up."""
    if plan.warmup.warmup_request_count is not None or plan.warmup.warmup_duration_s is not None:
        return
    for name, value in plan.warmup:
        if value is not None:
            hint = "Add --warmup-request-count or --warmup-duration."
            yield Problem("has no effect: there is no warm-up", origins.get(name, DEFAULT), hint)


_SYNTHETIC_FIELDS = ("entries_count", "isl_mean_tokens", "isl_stddev_tokens")


def input_has_one_source(plan: Plan, origins: Origins) -> Iterator[Problem]:
    if plan.input.input_file is None:
        if plan.input.dataset_type is not None:
            origin = origins.get("dataset_type", DEFAULT)
            yield Problem("describes an input file, and there is none", origin, "Add --input-file.")
        return
    for name in _SYNTHETIC_FIELDS:
        if is_given(origins, name):
            what = f"shapes synthetic prompts, but prompts come from {plan.input.input_file}"
            yield Problem(what, origins[name], f"Leave out this, or {origins.get('input_file', DEFAULT)}.")


def output_length_has_a_mean(plan: Plan, origins: Origins) -> Iterator[Problem]:
    if plan.input.osl_stddev_tokens and plan.input.osl_mean_tokens is None:
        yield Problem("has no effect without a mean", origins.get("osl_stddev_tokens", DEFAULT), "Add --osl.")


def input_file_is_there(plan: Plan, origins: Origins) -> Iterator[Problem]:
    if plan.input.input_file is None or not is_on_this_machine(plan):
        return
    origin = origins.get("input_file", DEFAULT)
    path = Path(plan.input.input_file)
    if "://" in plan.input.input_file:
        yield Problem("only local files can be read in this version", origin, "Download it and give its path.")
    elif (reason := _unreadable(path)) is not None:
        yield Problem(reason, origin)
    elif path.stat().st_size == 0:
        yield Problem(f"{path} is empty", origin, 'It needs a request on each line: {"text": "Hello"}.')


def ca_file_holds_certificates(plan: Plan, origins: Origins) -> Iterator[Problem]:
    path, origin = plan.endpoint.ca_file, origins.get("ca_file", DEFAULT)
    if path is None:
        return
    if (reason := _unreadable(path)) is not None:
        yield Problem(reason, origin)
    elif not re.search(rb"-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----", path.read_bytes()):
        hint = "openssl x509 -inform der -in FILE -out FILE.pem turns a DER file into PEM."
        yield Problem(f"{path} holds no certificate in PEM form", origin, hint)


def kubeconfig_can_be_read(plan: Plan, origins: Origins) -> Iterator[Problem]:
    path = plan.kubernetes.kubeconfig
    if plan.kubernetes.kubernetes and path is not None and (reason := _unreadable(path)) is not None:
        yield Problem(reason, origins.get("kubeconfig", DEFAULT), "Name the file that kubectl uses for this cluster.")


def _unreadable(path: Path) -> str | None:
    """Why this is no file that can be read; None if it is one."""
    try:
        is_there = path.exists()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if not is_there:
        return f"{path} does not exist"
    if not path.is_file():
        return f"{path} is not a file"
    return None if os.access(path, os.R_OK) else f"{path} may not be read by this user"


def tls_has_one_rule(plan: Plan, origins: Origins) -> Iterator[Problem]:
    if plan.endpoint.insecure and plan.endpoint.ca_file is not None:
        what = f"contradicts {origins.get('ca_file', DEFAULT)}: either certificates are verified or not"
        yield Problem(what, origins.get("insecure", DEFAULT), "Leave out one of both.")


def authorization_is_said_once(plan: Plan, origins: Origins) -> Iterator[Problem]:
    if plan.endpoint.api_key and any(name.lower() == "authorization" for name in plan.endpoint.headers):
        what = f"sets the Authorization header, and so does {origins.get('api_key', DEFAULT)}"
        yield Problem(what, origins.get("headers", DEFAULT), "Leave out one of both.")


def session_header_is_said_once(plan: Plan, origins: Origins) -> Iterator[Problem]:
    name = plan.endpoint.session_header
    if name is not None and any(given.lower() == name.lower() for given in plan.endpoint.headers):
        what = f"names {name}, which {origins.get('headers', DEFAULT)} sets too"
        yield Problem(what, origins.get("session_header", DEFAULT), "Leave out one of both.")


def source_addresses_are_few(plan: Plan, origins: Origins) -> Iterator[Problem]:
    """Not too many, and of the machine that connects."""
    if not plan.endpoint.source_addresses:
        return
    origin = origins.get("source_addresses", DEFAULT)
    if plan.kubernetes.kubernetes:
        what = "names addresses of this machine, but worker pods connect, each from its own address"
        yield Problem(what, origin, "Leave it out: more pods (--connections-per-worker) bring more addresses.")
    try:
        source_addresses(plan.endpoint.source_addresses)
    except ValueError as error:
        yield Problem(str(error), origin)


def model_is_waited_for(plan: Plan, origins: Origins) -> Iterator[Problem]:
    """How to wait for the model is only said where it is waited for."""
    if is_given(origins, "wait_for_model_mode") and not plan.endpoint.wait_for_model_timeout_s:
        what = "has no effect: the model is not waited for"
        yield Problem(what, origins["wait_for_model_mode"], "Add --wait-for-model-timeout SECONDS.")


def tokenizer_has_its_revision(plan: Plan, origins: Origins) -> Iterator[Problem]:
    if plan.tokenizer.tokenizer == "builtin" and is_given(origins, "tokenizer_revision"):
        hint = "Leave it out, or name a tokenizer of the hub by --tokenizer."
        yield Problem("the builtin tokenizer has no revisions", origins["tokenizer_revision"], hint)


def artifacts_can_be_written(plan: Plan, origins: Origins) -> Iterator[Problem]:
    """The folder, or the closest one above it that exists, lets this user make files."""
    folder = plan.results.artifact_dir.absolute()
    origin = origins.get("artifact_dir", DEFAULT)
    try:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    except OSError as error:
        yield Problem(f"{folder} cannot be made: {error.strerror}", origin, "Choose another --artifact-dir.")
        return
    if not existing.is_dir():
        yield Problem(f"{existing} is a file, not a folder", origin, "Choose another --artifact-dir.")
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield Problem(f"this user may not write to {existing}", origin, "Choose another --artifact-dir.")


def calibration_makes_sense(plan: Plan, origins: Origins) -> Iterator[Problem]:
    """How to calibrate is only said where it is done; and within a step there are whole answers."""
    asked = plan.calibration
    if not (asked.calibrate or asked.calibrate_only):
        for name in ("calibrate_duration_s", "calibrate_ttft", "calibrate_itl"):
            if origins.get(name, DEFAULT).startswith("-"):
                yield Problem("has no effect: nothing is calibrated", origins[name], "Add --calibrate.")
        return
    step_s, ttft_s = asked.calibrate_duration_s, duration_ns(asked.calibrate_ttft) / NS_PER_S
    if ttft_s > step_s / 2:
        what = f"leaves no room in a step of {step_s:g} s for an answer that begins after {ttft_s:g} s"
        origin = origins.get("calibrate_ttft", DEFAULT)
        yield Problem(what, origin, f"Make it shorter, or --calibrate-duration at least {2 * ttft_s:g}.")


CHECKS: tuple[Check, ...] = (
    Check(smoothness_has_its_pattern, frozenset({"arrival_smoothness", "arrival_pattern"})),
    Check(pattern_has_a_rate, frozenset({"arrival_pattern", "request_rate"})),
    Check(ramp_has_a_concurrency, frozenset({"concurrency_ramp_s", "concurrency", "duration_s"})),
    Check(
        warmup_has_an_end,
        frozenset(
            {
                "warmup_request_count",
                "warmup_duration_s",
                "warmup_concurrency",
                "warmup_request_rate",
                "warmup_arrival_pattern",
                "warmup_grace_period_s",
            }
        ),
    ),
    Check(warmup_pattern_has_a_rate, frozenset({"warmup_arrival_pattern", "warmup_request_rate", "request_rate"})),
    Check(
        calibration_makes_sense,
        frozenset({"calibrate", "calibrate_only", "calibrate_duration_s", "calibrate_ttft", "calibrate_itl"}),
    ),
    Check(input_has_one_source, frozenset({"input_file", "dataset_type", *_SYNTHETIC_FIELDS})),
    Check(input_file_is_there, frozenset({"input_file"})),
    Check(output_length_has_a_mean, frozenset({"osl_mean_tokens", "osl_stddev_tokens"})),
    Check(goodput_is_readable, frozenset({"goodput"})),
    Check(goodput_is_measurable, frozenset({"goodput", "streaming", "request_rate"})),
    Check(tls_has_one_rule, frozenset({"insecure", "ca_file"})),
    Check(ca_file_holds_certificates, frozenset({"ca_file"})),
    Check(authorization_is_said_once, frozenset({"api_key", "headers"})),
    Check(session_header_is_said_once, frozenset({"session_header", "headers"})),
    Check(source_addresses_are_few, frozenset({"source_addresses", "kubernetes"})),
    Check(model_is_waited_for, frozenset({"wait_for_model_mode", "wait_for_model_timeout_s"})),
    Check(tokenizer_has_its_revision, frozenset({"tokenizer", "tokenizer_revision"})),
    Check(artifacts_can_be_written, frozenset({"artifact_dir"})),
    Check(cluster_flags_have_a_cluster, frozenset({"kubernetes"})),
    Check(
        cluster_choices_go_together,
        frozenset({"kubernetes", "node_ip", "api_access", "detach", "dry_run", "min_workers", "workers_max"}),
    ),
    Check(endpoint_is_not_the_pod_itself, frozenset({"kubernetes", "urls"})),
    Check(sizes_are_of_pods_there_are, frozenset({"kubernetes", "topology", *PER_SERVICE_SIZES})),
    Check(claim_holds_a_file, frozenset({"kubernetes", "input_file", "dataset_pvc"})),
    Check(kubeconfig_can_be_read, frozenset({"kubernetes", "kubeconfig"})),
)
