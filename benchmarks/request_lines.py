"""CPU cost of a line of `profile_export.jsonl`, from the columns to the compressed shard, and of merging shards.

    python benchmarks/request_lines.py

Taken on 2 shared virtual cores (Python 3.11, 36 metrics of full precision, 2.5 KB a line), in CPU time, on 25 November
2026 with others on the same cores: line 15 µs (22 before columns of one value became part of the template, in the same
minutes), shard 4.3 µs (373 bytes a line on disk), merge 4.2 µs nearly in order, as shards are; 7.2 µs shuffled.
"""

import io
import tempfile
import time
from pathlib import Path

import numpy as np

from aiperf.record.facts import FACTS_DTYPE
from aiperf.report.request_lines import LineContext, request_lines
from aiperf.report.shards import BlockPacker, ShardFile, completion_ranks, merge_shards

RECORDS, METRICS = 20_000, 36


def main() -> None:
    random = np.random.default_rng(1)
    facts = np.zeros(RECORDS, FACTS_DTYPE)
    facts["credit_index"] = np.arange(RECORDS)
    facts["end_ns"] = 1_700_000_000_000_000_000 + random.permutation(RECORDS)
    facts["phase"] = 1
    metrics = {f"some_metric_tag_{index}": random.random(RECORDS) * 1e3 for index in range(METRICS - 8)}
    metrics |= {f"some_token_tag_{index}": random.integers(0, 999, RECORDS).astype(float) for index in range(8)}
    context = LineContext("benchmark", "record-processor-0", ["worker-0"], ["http://localhost:8000"], str)
    started = time.process_time()
    lines = request_lines(facts, metrics, dict.fromkeys(metrics, "ms"), [""] * RECORDS, context)
    lined = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard"
        packer, shard = BlockPacker(), ShardFile(path)
        for block in packer.pack(lines) + packer.flush():
            shard.append(block)
        shard.close()
        written = time.process_time()
        merge_shards([path], completion_ranks([facts["end_ns"]]), io.BytesIO())
        shuffled = time.process_time()
        merge_shards([path], completion_ranks([np.arange(RECORDS) + random.integers(0, 64, RECORDS)]), io.BytesIO())
        merged = time.process_time()
        size = path.stat().st_size / RECORDS
    print(f"{METRICS} metrics, {len(lines[0])} bytes a line, {size:.0f} in the shard")
    steps = {
        "line": lined - started,
        "shard": written - lined,
        "merge, shuffled": shuffled - written,
        "merge, nearly in order": merged - shuffled,
    }
    for name, seconds in steps.items():
        print(f"{name}: {seconds / RECORDS * 1e6:.2f} µs a line")


if __name__ == "__main__":
    main()
