"""guidellm, from the package index."""

import json
from pathlib import Path

from aiperf.units import NS_PER_S
from peers.environment import local_tokenizer, program
from peers.peer import MODEL, Load, Sample, only_file

MS_PER_S = 1e3


class Guidellm:
    """`guidellm run` over its HTTP backend. It sends no request id; its records tell when each request began."""

    name = "guidellm"
    requirements = ("guidellm==0.8.1",)
    how = "`openai_http` backend, synthetic text, JSON output; processes as it decides"

    def command(self, load: Load, folder: Path) -> list[str]:
        if load.concurrency is not None:
            profile = f"kind=concurrent,streams={load.concurrency}"
        else:
            profile = f"kind=constant,rate={load.rate_rps:g}"
        return [
            *(program(self.name, "guidellm"), "run", "--disable-console-interactive"),
            *("--backend", f"kind=openai_http,target={load.url},model={MODEL}"),
            *("--profile", profile, "--constraint", f"kind=max_requests,count={load.request_count}"),
            *("--data", f"kind=synthetic_text,prompt_tokens={load.prompt_tokens},output_tokens={load.tokens}"),
            *("--tokenizer", f"kind=huggingface_auto,model={local_tokenizer()}"),
            *("--output", f"kind=json,path={folder / 'guidellm.json'}"),
        ]

    def samples(self, folder: Path) -> list[Sample]:
        (benchmark,) = json.loads(only_file(folder, "guidellm.json").read_bytes())["benchmarks"]
        return [_sample(request) for request in benchmark["requests"]["successful"]]

    def words(self, folder: Path) -> str:
        (benchmark,) = json.loads(only_file(folder, "guidellm.json").read_bytes())["benchmarks"]
        warnings = benchmark.get("warnings") or []
        return f"{len(warnings)} warning{'s' * (len(warnings) > 1)}" if warnings else ""


def _sample(request: dict) -> Sample:
    return Sample(
        request_id=None,
        started_ns=request["request_start_time"] * NS_PER_S,
        ttft_ms=request["time_to_first_token_ms"],
        latency_ms=request["request_latency"] * MS_PER_S,
    )
