"""aiperf of this checkout, with the interpreter that runs the benchmark."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from peers.peer import MODEL, Load, Sample, only_file


@dataclass(frozen=True)
class Ours:
    """`aiperf profile`: one worker, tokens as the server counts them."""

    name: str = "ours"
    timestamps: str = "auto"
    worker_pinned: bool = True
    """Where cores are dealt out: only the worker, which takes the times, is held to the client's core. False: all of
    aiperf is, as all of any other tool is."""
    how: str = "`--workers-max 1 --use-server-token-count`, records on"
    requirements: tuple[str, ...] = ()

    def command(self, load: Load, folder: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "aiperf", "profile", "--model", MODEL, "--url", load.url, "--streaming"),
            *("--tokenizer", "builtin", "--use-server-token-count", "--timestamps", self.timestamps),
            *("--isl", str(load.prompt_tokens), "--osl", str(load.tokens), "--request-count", str(load.request_count)),
            *("--ui", "none", "--workers-max", "1", "--artifact-dir", str(folder / "artifacts")),
            *_pace(load),
        ]

    def samples(self, folder: Path) -> list[Sample]:
        lines = only_file(folder, "artifacts/*/profile_export.jsonl").read_bytes().splitlines()
        return [_sample(row["metadata"], row["metrics"]) for row in map(json.loads, lines) if not row["error"]]

    def words(self, folder: Path) -> str:
        return str(summary_of(folder)["verdict"]["status"])


def summary_of(folder: Path) -> dict:
    """The summary of the run in this folder."""
    return json.loads(only_file(folder, "artifacts/*/profile_export_aiperf.json").read_bytes())


def _pace(load: Load) -> tuple[str, ...]:
    if load.concurrency is not None:
        return ("--concurrency", str(load.concurrency))
    warm_up = ("--warmup-duration", "1") if load.warm_up else ()
    return ("--request-rate", f"{load.rate_rps:g}", "--arrival-pattern", "constant", *warm_up)


def _sample(metadata: dict, metrics: dict) -> Sample:
    return Sample(
        request_id=metadata["x_request_id"],
        started_ns=metadata["request_start_ns"],
        ttft_ms=metrics["time_to_first_token"]["value"],
        latency_ms=metrics["request_latency"]["value"],
        first_width_ms=metrics["first_token_width"]["value"],
        last_width_ms=metrics["last_token_width"]["value"],
    )
