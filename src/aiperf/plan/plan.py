"""The Plan: what the user asked for, as frozen data.

Owns: every field with its flags, unit, default, bounds and help. One field makes the flag, the environment variable
(`AIPERF_` + the field's name), the YAML key (`section.field`), the `--help` text, the JSON schema and the docs table.
Does not own: reading those sources (`layers`), checks across fields (`checks`).

Field names are unique over all sections and carry their unit.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator as Checked
from pydantic import Field, SecretStr

from aiperf.plan.calibration import CalibrationPlan
from aiperf.plan.expectation import ExpectationPlan
from aiperf.plan.kubernetes import KubernetesPlan
from aiperf.plan.numbers import (
    Count,
    Entries,
    Rate,
    Seconds,
    SecondsOrZero,
    Seed,
    Shape,
    Tokens,
    TokensDeviation,
)
from aiperf.plan.section import Section, option
from aiperf.plan.source_address import checked_source
from aiperf.plan.values import (
    file_name_part,
    json_fields,
    normalise_path,
    normalise_url,
    sendable_headers,
    sendable_key,
    session_header_name,
)

Counts = Count | tuple[Count, ...]
Lengths = Tokens | tuple[Tokens, ...]
Rates = Rate | tuple[Rate, ...]
Pattern = Literal["poisson", "constant", "gamma"]


class EndpointPlan(Section):
    """The service under test."""

    models: Annotated[
        tuple[str, ...],
        Field(min_length=1),
        option(
            "Model to ask for; several are taken in turn.",
            "--model-names", "--model", "-m", metavar="NAME", repeatable=True,
        ),
    ]  # fmt: skip
    urls: Annotated[
        tuple[Annotated[str, Checked(normalise_url)], ...],
        Field(min_length=1),
        option(
            "Base URL of the service; several are used in turn. http:// may be left out before host:port.",
            "--url", "-u", metavar="URL", repeatable=True,
        ),
    ] = ("http://localhost:8000",)  # fmt: skip
    url_strategy: Annotated[
        Literal["round_robin"],
        option("How requests are dealt to several URLs.", "--url-strategy"),
    ] = "round_robin"
    endpoint_type: Annotated[
        Literal["chat", "completions"],
        option("API dialect of the endpoint.", "--endpoint-type"),
    ] = "chat"
    endpoint_path: Annotated[
        Annotated[str, Checked(normalise_path)] | None,
        option("Path to use instead of the dialect's own.", "--custom-endpoint", "--endpoint", metavar="PATH"),
    ] = None
    streaming: Annotated[
        bool,
        option("Stream responses; needed for TTFT and ITL.", "--streaming"),
    ] = False
    request_timeout_s: Annotated[
        Seconds,
        option("A request that takes longer fails.", "--request-timeout-seconds"),
    ] = 21600
    api_key: Annotated[
        Annotated[SecretStr, Checked(sendable_key)] | None,
        option(
            "Sent as a bearer token; in no log, no artifact. Safest by environment: process lists show flags.",
            "--api-key", metavar="KEY",
        ),
    ] = None  # fmt: skip
    headers: Annotated[
        Mapping[str, str],
        Checked(sendable_headers),
        option("Extra request header.", "--header", "-H", metavar="NAME:VALUE", repeatable=True),
    ] = Field(default_factory=dict, repr=False)
    session_header: Annotated[
        Annotated[str, Checked(session_header_name)] | None,
        option(
            "Header that carries the conversation's id, for routers that keep a session in one place; it is that of "
            "X-Correlation-ID, which is always sent.",
            "--session-header", metavar="NAME",
        ),
    ] = None  # fmt: skip
    extra_inputs: Annotated[
        Mapping[str, Any],
        Checked(json_fields),
        option(
            "Extra body field, or a JSON object of them.",
            "--extra-inputs", metavar="KEY:VALUE", repeatable=True,
        ),
    ] = Field(default_factory=dict)  # fmt: skip
    use_legacy_max_tokens: Annotated[
        bool,
        option("Ask for `max_tokens` instead of `max_completion_tokens` (chat).", "--use-legacy-max-tokens"),
    ] = False
    use_server_token_count: Annotated[
        bool,
        option("Take token counts only from the server's `usage`.", "--use-server-token-count"),
    ] = False
    connection_reuse: Annotated[
        Literal["pooled", "never"],
        option("Keep connections open between requests, or open one for each.", "--connection-reuse-strategy"),
    ] = "pooled"
    connect_rate: Annotated[
        Rate | None,
        option(
            "Connections opened per second at most, by all workers. Default: 5000; no limit if each request opens one.",
            "--connect-rate",
        ),
    ] = None  # fmt: skip
    source_addresses: Annotated[
        tuple[Annotated[str, Checked(checked_source)], ...],
        option(
            "Local addresses to connect from in turn: one, a range A-B, a network A/BITS. Default: the system chooses.",
            "--source-address", metavar="ADDRESSES", repeatable=True,
        ),
    ] = ()  # fmt: skip
    wait_for_model_timeout_s: Annotated[
        SecondsOrZero,
        option("Before the load, wait so long for the model to answer; 0: do not wait.", "--wait-for-model-timeout"),
    ] = 0
    wait_for_model_mode: Annotated[
        Literal["inference", "models", "both"],
        option("What must answer: a real request, GET /v1/models, or both.", "--wait-for-model-mode"),
    ] = "inference"
    ca_file: Annotated[
        Path | None,
        option("PEM file of the certificate authorities to trust instead of the system's.", "--ca-file"),
    ] = None
    insecure: Annotated[
        bool,
        option("Do not verify the server's TLS certificate.", "--insecure"),
    ] = False


class TokenizerPlan(Section):
    """How tokens are counted on this side."""

    tokenizer: Annotated[
        str | None,
        option(
            "Hub name, local path or `builtin`. Default: the model's own, else `builtin`.",
            "--tokenizer", metavar="NAME",
        ),
    ] = None  # fmt: skip
    tokenizer_revision: Annotated[
        str,
        option("Revision on the hub: branch, tag or commit.", "--tokenizer-revision", metavar="REVISION"),
    ] = "main"
    tokenizer_trust_remote_code: Annotated[
        bool,
        option("Accepted for compatibility; aiperf runs no code of a tokenizer.", "--tokenizer-trust-remote-code"),
    ] = False


class InputPlan(Section):
    """What is sent."""

    input_file: Annotated[
        str | None,
        option("JSONL file, one request a line (`text` or `messages`).", "--input-file", metavar="FILE"),
    ] = None
    dataset_type: Annotated[
        Literal["single_turn"] | None,
        option("Format of the input file; found out by itself when not given.", "--custom-dataset-type"),
    ] = None
    sampling: Annotated[
        Literal["sequential", "random", "shuffle"] | None,
        option("In which order dataset entries are used. Default: sequential.", "--dataset-sampling-strategy"),
    ] = None
    random_seed: Annotated[
        Seed | None,
        option("Makes the request stream repeatable. Default: drawn, and recorded in the results.", "--random-seed"),
    ] = None
    entries_count: Annotated[
        Entries,
        option("How many different synthetic prompts are made.", "--num-dataset-entries", "--num-prompts"),
    ] = 100
    isl_mean_tokens: Annotated[
        Lengths,
        option(
            "Mean length of synthetic prompts.",
            "--isl", "--synthetic-input-tokens-mean", "--prompt-input-tokens-mean", sweepable=True,
        ),
    ] = 550  # fmt: skip
    isl_stddev_tokens: Annotated[
        TokensDeviation,
        option(
            "Standard deviation of the length of synthetic prompts.",
            "--isl-stddev", "--synthetic-input-tokens-stddev", "--prompt-input-tokens-stddev",
        ),
    ] = 0  # fmt: skip
    osl_mean_tokens: Annotated[
        Lengths | None,
        option(
            "Mean number of output tokens to ask for. Default: the server decides.",
            "--osl", "--output-tokens-mean", "--prompt-output-tokens-mean", sweepable=True,
        ),
    ] = None  # fmt: skip
    osl_stddev_tokens: Annotated[
        TokensDeviation,
        option(
            "Standard deviation of the number of output tokens to ask for.",
            "--osl-stddev", "--output-tokens-stddev", "--prompt-output-tokens-stddev",
        ),
    ] = 0  # fmt: skip


class LoadPlan(Section):
    """How hard, and for how long."""

    concurrency: Annotated[
        Counts | None,
        option("Requests kept in flight; with a rate: at most so many.", "--concurrency", sweepable=True),
    ] = None
    concurrency_ramp_s: Annotated[
        SecondsOrZero,
        option("Take so long to reach the concurrency, evenly.", "--concurrency-ramp-duration"),
    ] = 0
    request_rate: Annotated[
        Rates | None,
        option("Requests sent per second, whatever the server does.", "--request-rate", sweepable=True),
    ] = None
    arrival_pattern: Annotated[
        Pattern,
        option("Distribution of the gaps between requests at a rate.", "--arrival-pattern", "--request-rate-mode"),
    ] = "poisson"
    arrival_smoothness: Annotated[
        Shape | None,
        option(
            "Shape of gamma gaps: 1 is Poisson, more is smoother.",
            "--arrival-smoothness", "--vllm-burstiness", metavar="SHAPE",
        ),
    ] = None  # fmt: skip
    request_count: Annotated[
        Count | None,
        option(
            "Stop after so many requests; with a duration: at the first of both. Default: max(10, 2 x concurrency).",
            "--request-count", "--num-requests",
        ),
    ] = None  # fmt: skip
    duration_s: Annotated[
        Seconds | None,
        option("Stop sending after so long.", "--benchmark-duration", "--duration"),
    ] = None
    grace_period_s: Annotated[
        SecondsOrZero,
        option(
            "After the duration, how long requests in flight may take to finish before they are cut.",
            "--benchmark-grace-period",
        ),
    ] = 30


class WarmupPlan(Section):
    """A phase before the measured one; its requests are in no result. Off unless a count or a duration is given."""

    warmup_request_count: Annotated[
        Count | None,
        option("Warm up with so many requests.", "--warmup-request-count"),
    ] = None
    warmup_duration_s: Annotated[
        Seconds | None,
        option("Warm up for so long.", "--warmup-duration"),
    ] = None
    warmup_concurrency: Annotated[
        Count | None,
        option("Requests in flight while warming up. Default: as the measured phase.", "--warmup-concurrency"),
    ] = None
    warmup_request_rate: Annotated[
        Rate | None,
        option("Requests per second while warming up. Default: as the measured phase.", "--warmup-request-rate"),
    ] = None
    warmup_arrival_pattern: Annotated[
        Pattern | None,
        option(
            "Distribution of the gaps while warming up. Default: as the measured phase.", "--warmup-arrival-pattern"
        ),
    ] = None
    warmup_grace_period_s: Annotated[
        SecondsOrZero | None,
        option(
            "How long warm-up requests in flight may take before they are cut. Default: as the measured phase.",
            "--warmup-grace-period",
        ),
    ] = None


class ResultsPlan(Section):
    """What is reported, and where to."""

    goodput: Annotated[
        str | None,
        option("Objectives a good request meets, in the metrics' units.", "--goodput", metavar='"TAG:VALUE …"'),
    ] = None
    require_valid: Annotated[
        bool,
        option("End with exit code 5 if the verdict is `invalid`.", "--require-valid"),
    ] = False
    artifact_dir: Annotated[
        Path,
        option("Results go to a folder of the run in here.", "--output-artifact-dir", "--artifact-dir", metavar="DIR"),
    ] = Path("./artifacts")
    export_prefix: Annotated[
        Annotated[str, Checked(file_name_part)],
        option("Start of the result files' names.", "--profile-export-prefix", metavar="PREFIX"),
    ] = "profile_export"
    export_level: Annotated[
        Literal["summary", "records", "raw"],
        option("Aggregates only, a line per request (summary above a million), or also payloads.", "--export-level"),
    ] = "records"


class ServicesPlan(Section):
    """How aiperf itself runs."""

    ui: Annotated[
        Literal["dashboard", "simple", "none"] | None,
        option("Live view. Default: dashboard on a terminal, simple lines elsewhere.", "--ui"),
    ] = None
    log_level: Annotated[
        Literal["error", "warning", "info", "debug", "trace"],
        option("Detail of logs/aiperf.log; -v is debug, -vv trace.", "--log-level"),
    ] = "info"
    workers_max: Annotated[
        Count | None,
        option("At most so many worker processes. Default: from CPUs and load.", "--workers-max", "--max-workers"),
    ] = None
    connections_per_worker: Annotated[
        Count | None,
        option(
            "Concurrency a worker carries before another one is added. Default: 1000; in a cluster, from its cost.",
            "--connections-per-worker", env_alias="AIPERF_HTTP_CONNECTION_LIMIT",
        ),
    ] = None  # fmt: skip
    record_processors_count: Annotated[
        Count | None,
        option(
            "Record-processor processes. Default: one per four workers, and more if the pace that is expected of the "
            "service takes more CPU.",
            "--record-processors",
        ),
    ] = None
    timestamps: Annotated[
        Literal["auto", "kernel", "user"],
        option("Where arrival times come from. auto: the kernel where it stamps, else user space.", "--timestamps"),
    ] = "auto"
    selector: Annotated[
        Literal["auto", "epoll", "kqueue", "poll"],
        option("How sockets are watched. auto: the best of this platform.", "--io-selector"),
    ] = "auto"


class Plan(Section):
    """One benchmark, whole. Made by `layers.read_plan`; scalar once `variants()` has resolved its sweeps."""

    endpoint: EndpointPlan
    tokenizer: TokenizerPlan = Field(default_factory=TokenizerPlan)
    input: InputPlan = Field(default_factory=InputPlan)
    load: LoadPlan = Field(default_factory=LoadPlan)
    warmup: WarmupPlan = Field(default_factory=WarmupPlan)
    calibration: CalibrationPlan = Field(default_factory=CalibrationPlan)
    expectation: ExpectationPlan = Field(default_factory=ExpectationPlan)
    results: ResultsPlan = Field(default_factory=ResultsPlan)
    services: ServicesPlan = Field(default_factory=ServicesPlan)
    kubernetes: KubernetesPlan = Field(default_factory=KubernetesPlan)

    def variants(self) -> "Iterator[Plan]":
        """The plans of a sweep, each with one value per field; just this plan when nothing is swept."""
        swept = [
            (section, name, value)
            for section, fields in self
            for name, value in fields
            if isinstance(value, tuple) and name in SWEEPABLE
        ]
        for values in product(*(value for _, _, value in swept)):
            changes: dict[str, dict[str, Any]] = {}
            for (section, name, _), value in zip(swept, values, strict=True):
                changes.setdefault(section, {})[name] = value
            sections = {name: getattr(self, name).model_copy(update=fields) for name, fields in changes.items()}
            yield self.model_copy(update=sections)


LINES_MAX = 1_000_000
"""Requests up to which a line is written for each unless asked otherwise: a million take some 2.5 GB."""


def settled(plan: Plan, *, drawn_seed: int, export_level_given: bool = True) -> Plan:
    """The plan with what the user left open decided, so that its export says all that a repetition needs."""
    if not export_level_given and (plan.load.request_count or 0) > LINES_MAX:
        plan = plan.model_copy(update={"results": plan.results.model_copy(update={"export_level": "summary"})})
    if plan.input.random_seed is None:
        plan = plan.model_copy(update={"input": plan.input.model_copy(update={"random_seed": drawn_seed})})
    if plan.load.concurrency is None and plan.load.request_rate is None:
        plan = plan.model_copy(update={"load": plan.load.model_copy(update={"concurrency": 1})})
    return plan


SWEEPABLE = frozenset({"concurrency", "request_rate", "isl_mean_tokens", "osl_mean_tokens"})
"""The fields whose option says so; `fields` is tested against it."""
