"""AIPerf of NVIDIA, from the package index."""

import json
from pathlib import Path

from peers.environment import TOKENIZER_NAME, program
from peers.peer import MODEL, Load, Sample, only_file


class NvidiaAiperf:
    """`aiperf profile`, as its tutorial on chat endpoints calls it. Its requests carry an id that its records tell."""

    name = "nvidia_aiperf"
    requirements = ("aiperf==0.13.0",)
    how = "`--use-server-token-count --ui none`, else as it comes: workers and record processors as it decides"

    def command(self, load: Load, folder: Path) -> list[str]:
        if load.concurrency is not None:
            pace = ["--concurrency", str(load.concurrency)]
        else:
            pace = ["--request-rate", f"{load.rate_rps:g}", "--request-rate-mode", "constant"]
        return [
            *(program(self.name, "aiperf"), "profile", "--model", MODEL, "--url", load.url, "--endpoint-type", "chat"),
            *("--streaming", "--tokenizer", TOKENIZER_NAME, "--use-server-token-count", "--ui", "none"),
            *("--isl", str(load.prompt_tokens), "--isl-stddev", "0", "--osl", str(load.tokens), "--osl-stddev", "0"),
            *("--extra-inputs", "ignore_eos:true", "--request-count", str(load.request_count), *pace),
            *("--artifact-dir", str(folder / "artifacts")),
        ]

    def samples(self, folder: Path) -> list[Sample]:
        lines = only_file(folder, "artifacts/**/profile_export.jsonl").read_bytes().splitlines()
        return [_sample(row["metadata"], row["metrics"]) for row in map(json.loads, lines) if not row.get("error")]

    def words(self, folder: Path) -> str:
        del folder
        return ""


def _sample(metadata: dict, metrics: dict) -> Sample:
    return Sample(
        request_id=metadata["x_request_id"],
        started_ns=metadata["request_start_ns"],
        ttft_ms=metrics["time_to_first_token"]["value"],
        latency_ms=metrics["request_latency"]["value"],
    )
