"""Each tool's results are read as samples in ms, with the id that was sent or the start that was told."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from peers.environment import surroundings
from peers.guidellm import Guidellm
from peers.nvidia_aiperf import NvidiaAiperf
from peers.ours import Ours
from peers.peer import Load, Peer, ResultsError, Sample
from peers.tools import TOOLS, tools_named
from peers.vllm import Vllm

LOAD = Load(url="http://127.0.0.1:1", request_count=20, tokens=50, concurrency=4)
RATE = Load(url="http://127.0.0.1:1", request_count=20, tokens=50, rate_rps=100)


def written(path: Path, *documents: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(document) for document in documents))


def record(name: str, *, error: Any = None, **metrics: float) -> dict[str, Any]:
    return {
        "metadata": {"x_request_id": name, "request_start_ns": 1_000_000_000},
        "metrics": {tag: {"value": value, "unit": "ms"} for tag, value in metrics.items()},
        "error": error,
    }


def test_our_records_tell_intervals_and_failed_requests_are_left_out(tmp_path: Path) -> None:
    widths = {"first_token_width": 0.5, "last_token_width": 0.25}
    whole = record("a", time_to_first_token=200.5, request_latency=1180.25, **widths)
    written(tmp_path / "artifacts" / "run" / "profile_export.jsonl", whole, record("b", error={"kind": "HTTP"}))
    assert Ours().samples(tmp_path) == [Sample("a", 1_000_000_000, 200.5, 1180.25, 0.5, 0.25)]


def test_what_we_say_ourselves_is_the_verdict(tmp_path: Path) -> None:
    written(tmp_path / "artifacts" / "run" / "profile_export_aiperf.json", {"verdict": {"status": "degraded"}})
    assert Ours().words(tmp_path) == "degraded"


def test_records_of_nvidia_aiperf_carry_the_request_id(tmp_path: Path) -> None:
    whole = record("a", time_to_first_token=203.0, request_latency=1190.0)
    del whole["error"]  # they have it only where there was one
    failed = record("b", error={"code": 500})
    written(tmp_path / "artifacts" / "profile_export.jsonl", whole, failed)
    assert NvidiaAiperf().samples(tmp_path) == [Sample("a", 1_000_000_000, 203.0, 1190.0)]


def guidellm_report(*requests: dict[str, float], warnings: list[str]) -> dict[str, Any]:
    return {"benchmarks": [{"requests": {"successful": list(requests), "errored": [{}]}, "warnings": warnings}]}


def test_records_of_guidellm_have_no_id_but_a_start(tmp_path: Path) -> None:
    request = {"request_start_time": 1.5, "time_to_first_token_ms": 202.0, "request_latency": 1.2}
    written(tmp_path / "guidellm.json", guidellm_report(request, warnings=[]))
    assert Guidellm().samples(tmp_path) == [Sample(None, 1_500_000_000, 202.0, 1200.0)]
    assert Guidellm().words(tmp_path) == ""


def test_warnings_of_guidellm_are_counted(tmp_path: Path) -> None:
    written(tmp_path / "guidellm.json", guidellm_report(warnings=["a", "b"]))
    assert Guidellm().words(tmp_path) == "2 warnings"


def test_results_of_vllm_are_columns_in_the_order_of_the_request_ids(tmp_path: Path) -> None:
    columns = {"start_times": [2.0, 1.0], "ttfts": [0.2, 0.0], "latencies": [1.18, 0.0], "errors": ["", "refused"]}
    written(tmp_path / "vllm.json", columns)
    (sample,) = Vllm().samples(tmp_path)
    assert sample == Sample("bench-0", 2_000_000_000, 200.0, 1180.0)


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_a_run_that_left_no_results_says_so(tool: Peer, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="0 files match"):
        tool.samples(tmp_path)


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
@pytest.mark.parametrize(("load", "pace"), [(LOAD, "4"), (RATE, "100")], ids=["concurrency", "rate"])
def test_every_tool_is_told_the_same_load(tool: Peer, load: Load, pace: str, tmp_path: Path) -> None:
    words = [word for argument in tool.command(load, tmp_path) for word in argument.replace("=", ",").split(",")]
    assert {load.url, "20", "50", "8", pace} <= set(words)


def test_all_of_others_are_pinned_and_none_of_ours() -> None:
    for tool in TOOLS.values():
        assert all("==" in requirement for requirement in tool.requirements)
        assert bool(tool.requirements) != isinstance(tool, Ours)


def test_a_tool_of_others_does_not_see_our_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("peers.environment.HUB", tmp_path)
    monkeypatch.setenv("PYTHONPATH", "src")
    assert "PYTHONPATH" not in surroundings(("guidellm==0.8.1",))
    assert surroundings(())["PYTHONPATH"] == "src"
    assert surroundings(())["HF_HUB_OFFLINE"] == "1"


def test_tools_are_named_and_unknown_names_are_told() -> None:
    assert tools_named("vllm,ours") == [TOOLS["vllm"], TOOLS["ours"]]
    assert tools_named("all") == list(TOOLS.values())
    with pytest.raises(argparse.ArgumentTypeError, match="no such tool: wrk"):
        tools_named("ours,wrk")
