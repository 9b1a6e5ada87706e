"""The Plan: what the user asked for, as frozen data.

Owns: every field with its flags, unit, default, bounds and help. One field makes the flag, the environment variable
(`AIPERF_` + the field's name), the YAML key (`section.field`), the `--help` text, the JSON schema and the docs table.
Does not own: reading those sources (`layers`), checks across fields (`checks`).

Field names are unique over all sections and carry their unit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr


@dataclass(frozen=True, slots=True)
class Option:
    """How a field appears to the user. Metadata of a Plan field."""

    flags: tuple[str, ...]
    """All spellings; the first is the one used in messages."""
    help: str
    metavar: str = ""
    sweepable: bool = False
    """A comma-separated list is a sweep over the values."""
    repeatable: bool = False
    """May be given several times; the values add up."""


def option(*flags: str, help: str, metavar: str = "", sweepable: bool = False, repeatable: bool = False) -> Option:
    return Option(flags, help, metavar, sweepable, repeatable)


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EndpointPlan(Section):
    """The service under test."""

    models: Annotated[
        tuple[str, ...],
        Field(min_length=1),
        option("--model-names", "--model", "-m", help="Model to ask for; several are taken in turn.", repeatable=True),
    ]
    urls: Annotated[
        tuple[str, ...],
        Field(min_length=1),
        option("--url", "-u", help="Base URL of the service; several are used in turn.", repeatable=True),
    ] = ("http://localhost:8000",)
    url_strategy: Annotated[
        Literal["round_robin"], option("--url-strategy", help="How requests are dealt to several URLs.")
    ] = "round_robin"
    endpoint_type: Annotated[
        Literal["chat", "completions"], option("--endpoint-type", help="API dialect of the endpoint.")
    ] = "chat"
    endpoint_path: Annotated[
        str | None,
        option("--custom-endpoint", "--endpoint", help="Path to use instead of the dialect's own.", metavar="PATH"),
    ] = None
    streaming: Annotated[bool, option("--streaming", help="Stream responses; needed for TTFT and ITL.")] = False
    request_timeout_s: Annotated[
        PositiveFloat, option("--request-timeout-seconds", help="A request that takes longer fails.", metavar="SECONDS")
    ] = 21600
    api_key: Annotated[
        SecretStr | None, option("--api-key", help="Sent as a bearer token. Appears in no log and no artifact.")
    ] = None
    headers: Annotated[
        Mapping[str, str],
        option("--header", "-H", help="Extra request header.", metavar="NAME:VALUE", repeatable=True),
    ] = Field(default_factory=dict)
    extra_inputs: Annotated[
        Mapping[str, Any],
        option(
            "--extra-inputs", help="Extra body field, or a JSON object of them.", metavar="KEY:VALUE", repeatable=True
        ),
    ] = Field(default_factory=dict)
    use_legacy_max_tokens: Annotated[
        bool,
        option("--use-legacy-max-tokens", help="Ask for `max_tokens` instead of `max_completion_tokens` (chat)."),
    ] = False
    use_server_token_count: Annotated[
        bool, option("--use-server-token-count", help="Take token counts only from the server's `usage`.")
    ] = False
    connection_reuse: Annotated[
        Literal["pooled", "never"],
        option("--connection-reuse-strategy", help="Keep connections open between requests, or open one for each."),
    ] = "pooled"
    ca_file: Annotated[
        Path | None,
        option("--ca-file", help="PEM file of the certificate authorities to trust instead of the system's."),
    ] = None
    insecure: Annotated[bool, option("--insecure", help="Do not verify the server's TLS certificate.")] = False


class TokenizerPlan(Section):
    """How tokens are counted on this side."""

    tokenizer: Annotated[
        str | None,
        option(
            "--tokenizer", help="Hub name, local path or `builtin`. Default: the model's own, else `builtin`.", metavar="NAME"
        ),
    ] = None
    tokenizer_revision: Annotated[
        str, option("--tokenizer-revision", help="Revision on the hub: branch, tag or commit.")
    ] = "main"
    tokenizer_trust_remote_code: Annotated[
        bool,
        option("--tokenizer-trust-remote-code", help="Accepted for compatibility; aiperf runs no code of a tokenizer."),
    ] = False


class InputPlan(Section):
    """What is sent."""

    input_file: Annotated[
        str | None, option("--input-file", help="JSONL file, one request a line (`text` or `messages`).", metavar="FILE")
    ] = None
    dataset_type: Annotated[
        Literal["single_turn"] | None,
        option("--custom-dataset-type", help="Format of the input file; found out by itself when not given."),
    ] = None
    sampling: Annotated[
        Literal["sequential", "random", "shuffle"] | None,
        option("--dataset-sampling-strategy", help="In which order dataset entries are used. Default: sequential."),
    ] = None
    random_seed: Annotated[
        NonNegativeInt | None,
        option("--random-seed", help="Makes the request stream repeatable. Default: drawn, and recorded in the results."),
    ] = None
    entries_count: Annotated[
        PositiveInt,
        option("--num-dataset-entries", "--num-prompts", help="How many different synthetic prompts are made."),
    ] = 100
    isl_mean_tokens: Annotated[
        PositiveInt,
        option(
            "--isl", "--synthetic-input-tokens-mean", "--prompt-input-tokens-mean", sweepable=True,
            help="Mean length of synthetic prompts.", metavar="TOKENS",
        ),
    ] | tuple[PositiveInt, ...] = 550  # fmt: skip
    isl_stddev_tokens: Annotated[
        NonNegativeFloat,
        option(
            "--isl-stddev", "--synthetic-input-tokens-stddev", "--prompt-input-tokens-stddev",
            help="Standard deviation of the length of synthetic prompts.", metavar="TOKENS",
        ),
    ] = 0  # fmt: skip
    osl_mean_tokens: Annotated[
        PositiveInt,
        option(
            "--osl", "--output-tokens-mean", "--prompt-output-tokens-mean", sweepable=True,
            help="Mean number of output tokens to ask for. Default: the server decides.", metavar="TOKENS",
        ),
    ] | tuple[PositiveInt, ...] | None = None  # fmt: skip
    osl_stddev_tokens: Annotated[
        NonNegativeFloat,
        option(
            "--osl-stddev", "--output-tokens-stddev", "--prompt-output-tokens-stddev",
            help="Standard deviation of the number of output tokens to ask for.", metavar="TOKENS",
        ),
    ] = 0  # fmt: skip


class LoadPlan(Section):
    """How hard, and for how long."""

    concurrency: Annotated[
        PositiveInt,
        option("--concurrency", help="Requests kept in flight; with a rate: at most so many.", sweepable=True),
    ] | tuple[PositiveInt, ...] | None = None
    request_rate: Annotated[
        PositiveFloat,
        option("--request-rate", help="Requests sent per second, whatever the server does.", metavar="RPS", sweepable=True),
    ] | tuple[PositiveFloat, ...] | None = None
    arrival_pattern: Annotated[
        Literal["poisson", "constant", "gamma"],
        option("--arrival-pattern", "--request-rate-mode", help="Distribution of the gaps between requests at a rate."),
    ] = "poisson"
    arrival_smoothness: Annotated[
        PositiveFloat | None,
        option("--arrival-smoothness", "--vllm-burstiness", help="Shape of gamma gaps: 1 is Poisson, more is smoother."),
    ] = None
    request_count: Annotated[
        PositiveInt | None,
        option("--request-count", "--num-requests", help="Stop after so many requests. Default: max(10, 2 x concurrency)."),
    ] = None
    duration_s: Annotated[
        PositiveFloat | None,
        option("--benchmark-duration", "--duration", help="Stop sending after so long.", metavar="SECONDS"),
    ] = None
    grace_period_s: Annotated[
        NonNegativeFloat,
        option(
            "--benchmark-grace-period", metavar="SECONDS",
            help="After the duration, how long requests in flight may take to finish before they are cut.",
        ),
    ] = 30  # fmt: skip


class WarmupPlan(Section):
    """A phase before the measured one; its requests are in no result. Off unless a count or a duration is given."""

    warmup_request_count: Annotated[PositiveInt | None, option("--warmup-request-count", help="Warm-up requests.")] = None
    warmup_duration_s: Annotated[
        PositiveFloat | None, option("--warmup-duration", help="Length of the warm-up.", metavar="SECONDS")
    ] = None
    warmup_concurrency: Annotated[
        PositiveInt | None, option("--warmup-concurrency", help="Default: as the measured phase.")
    ] = None
    warmup_request_rate: Annotated[
        PositiveFloat | None, option("--warmup-request-rate", help="Default: as the measured phase.", metavar="RPS")
    ] = None
    warmup_arrival_pattern: Annotated[
        Literal["poisson", "constant", "gamma"] | None,
        option("--warmup-arrival-pattern", help="Default: as the measured phase."),
    ] = None
    warmup_grace_period_s: Annotated[
        NonNegativeFloat | None,
        option("--warmup-grace-period", help="Default: as the measured phase.", metavar="SECONDS"),
    ] = None


class ResultsPlan(Section):
    """What is reported, and where to."""

    goodput: Annotated[
        str | None,
        option("--goodput", help="Objectives a good request meets, in the metrics' units.", metavar='"TAG:VALUE …"'),
    ] = None
    artifact_dir: Annotated[
        Path, option("--output-artifact-dir", "--artifact-dir", help="Results go to a folder of the run in here.")
    ] = Path("./artifacts")
    export_prefix: Annotated[
        str, option("--profile-export-prefix", help="Start of the result files' names.")
    ] = "profile_export"
    export_level: Annotated[
        Literal["summary", "records", "raw"],
        option("--export-level", help="Aggregates only, a line per request, or also payloads and chunks."),
    ] = "records"


class ServicesPlan(Section):
    """How aiperf itself runs."""

    ui: Annotated[
        Literal["dashboard", "simple", "none"] | None,
        option("--ui", help="Live view. Default: dashboard on a terminal, simple lines elsewhere."),
    ] = None
    log_level: Annotated[
        Literal["error", "warning", "info", "debug", "trace"],
        option("--log-level", help="Detail of logs/aiperf.log; -v is debug, -vv trace."),
    ] = "info"
    workers_max: Annotated[
        PositiveInt | None,
        option("--workers-max", "--max-workers", help="At most so many worker processes. Default: from CPUs and load."),
    ] = None
    record_processors_count: Annotated[
        PositiveInt | None,
        option("--record-processors", help="Record-processor processes. Default: one per four workers."),
    ] = None
    timestamps: Annotated[
        Literal["auto", "kernel", "user"],
        option("--timestamps", help="Where arrival times come from. auto: the kernel where it stamps, else user space."),
    ] = "auto"
    selector: Annotated[
        Literal["auto", "epoll", "kqueue", "poll"],
        option("--io-selector", help="How sockets are watched. auto: the best of this platform."),
    ] = "auto"


class Plan(Section):
    """One benchmark, whole. Made by `layers.read_plan`; scalar once `variants()` has resolved its sweeps."""

    endpoint: EndpointPlan
    tokenizer: TokenizerPlan = Field(default_factory=TokenizerPlan)
    input: InputPlan = Field(default_factory=InputPlan)
    load: LoadPlan = Field(default_factory=LoadPlan)
    warmup: WarmupPlan = Field(default_factory=WarmupPlan)
    results: ResultsPlan = Field(default_factory=ResultsPlan)
    services: ServicesPlan = Field(default_factory=ServicesPlan)

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
            yield self.model_copy(
                update={section: getattr(self, section).model_copy(update=fields) for section, fields in changes.items()}
            )


SWEEPABLE = frozenset({"concurrency", "request_rate", "isl_mean_tokens", "osl_mean_tokens"})
