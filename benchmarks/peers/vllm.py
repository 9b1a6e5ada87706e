"""The client of vLLM, `vllm bench serve`, from the package index."""

import json
from pathlib import Path

from aiperf.units import NS_PER_S
from peers.environment import local_tokenizer, program
from peers.peer import MODEL, Load, Sample, only_file

MS_PER_S = 1e3
RESULT = "vllm.json"
ID_PREFIX = "bench-"
"""Requests are named by it and their place in the results, and say so to the server."""


class Vllm:
    """`vllm bench serve` with random prompts. It waits for the interpreter to load all of vLLM first."""

    name = "vllm"
    requirements = ("vllm[bench]==0.33.0",)
    how = "`--backend openai-chat --dataset-name random --ignore-eos --save-detailed --disable-tqdm`"

    def command(self, load: Load, folder: Path) -> list[str]:
        if load.concurrency is not None:
            pace = ["--max-concurrency", str(load.concurrency)]
        else:
            pace = ["--request-rate", f"{load.rate_rps:g}", "--burstiness", "inf"]
        return [
            *(program(self.name, "vllm"), "bench", "serve", "--backend", "openai-chat", "--base-url", load.url),
            *("--endpoint", "/v1/chat/completions", "--model", MODEL, "--tokenizer", str(local_tokenizer())),
            *("--dataset-name", "random", "--random-input-len", str(load.prompt_tokens)),
            *("--random-output-len", str(load.tokens), "--num-prompts", str(load.request_count), "--ignore-eos"),
            *(*pace, "--request-id-prefix", ID_PREFIX, "--disable-tqdm"),
            *("--save-result", "--save-detailed", "--result-dir", str(folder), "--result-filename", RESULT),
        ]

    def samples(self, folder: Path) -> list[Sample]:
        result = json.loads(only_file(folder, RESULT).read_bytes())
        columns = (result[name] for name in ("start_times", "ttfts", "latencies", "errors"))
        return [
            Sample(f"{ID_PREFIX}{index}", started_s * NS_PER_S, ttft_s * MS_PER_S, latency_s * MS_PER_S)
            for index, (started_s, ttft_s, latency_s, error) in enumerate(zip(*columns, strict=True))
            if not error
        ]

    def words(self, folder: Path) -> str:
        del folder
        return ""
