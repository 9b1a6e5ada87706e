import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from aiperf.cli.kube import attach, cancel, cleanup, listing, logs, results
from aiperf.cli.kube.command import COMMANDS, help_text
from aiperf.cli.kube.command import run as run_kube
from aiperf.cli.kube.frame import Work
from aiperf.cli.kube.usage import ACCESS, Chosen, Usage, read_usage
from aiperf.cli.main import main
from aiperf.deploy.kubernetes.cluster import Cluster
from aiperf.deploy.kubernetes.leftovers import Leftover
from aiperf.deploy.kubernetes.runs import FoundRun, RunState
from aiperf.errors import ExitCode, PlanError, Problem
from aiperf.wire.messages import RunFinished

USAGES = [attach.USAGE, cancel.USAGE, cleanup.USAGE, listing.USAGE, logs.USAGE, results.USAGE]
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
RUN = FoundRun("0123", "perf", "llama-3", RunState.RUNNING, "", NOW - timedelta(seconds=90), 4, 3, None)


def problems_of(usage: Usage, *argv: str) -> list[Problem]:
    with pytest.raises(PlanError) as caught:
        read_usage(usage, argv, {})
    return list(caught.value.problems)


def test_flags_and_the_run_may_stand_in_any_order() -> None:
    wanted = Chosen("0123", {"--component": "worker-3", "--tail": "5"}, frozenset({"--follow"}))
    for argv in (
        ["0123", "--component", "worker-3", "--tail=5", "-f"],
        ["-f", "--tail", "5", "0123", "-c", "worker-3"],
    ):
        assert read_usage(logs.USAGE, argv, {}) == wanted
    assert wanted.count(logs.TAIL) == 5
    assert wanted.has(logs.FOLLOW)
    assert wanted.text(logs.COMPONENT) == "worker-3"


def test_everything_wrong_is_told_at_once() -> None:
    found = problems_of(logs.USAGE, "--tial", "--tail", "0", "--follow=yes", "--namespace", "a", "--namespace", "b")
    assert [(problem.origin, problem.what) for problem in found] == [
        ("--tial", "there is no such flag"),
        ("--follow", "takes no value"),
        ("--tail", "'0' is not a whole number above 0"),
        ("--namespace", "is given twice"),
        ("RUN", "a run is missing"),
    ]
    assert found[0].hint == "Did you mean --tail?"


@pytest.mark.parametrize("usage", USAGES, ids=lambda usage: usage.name)
def test_a_second_run_is_refused(usage: Usage) -> None:
    words = ["0123", "4567"] if usage.run != "none" else ["4567"]
    assert [problem.what for problem in problems_of(usage, *words)] == ["'4567' belongs to no flag"]


def test_a_way_that_is_none_is_refused() -> None:
    (problem,) = problems_of(cancel.USAGE, "0123", "--api-access", "tunnel")
    assert problem.what.startswith("'tunnel' is not one of port-forward, ")
    assert problem.origin == ACCESS.flag


def test_the_environment_of_profile_counts_and_flags_before_it() -> None:
    environ = {"AIPERF_KUBERNETES_NAMESPACE": "perf", "AIPERF_KUBECONFIG": "a", "AIPERF_KUBECONTEXT": ""}
    chosen = read_usage(cancel.USAGE, ["0123", "--kubeconfig", "b"], environ)
    assert (chosen.namespace, str(chosen.kubeconfig), chosen.kubecontext) == ("perf", "b", None)


def test_all_namespaces_excludes_one() -> None:
    with pytest.raises(PlanError, match="excludes --namespace"):
        listing.run(["--all-namespaces", "--namespace", "perf"])


@pytest.mark.parametrize("spelling", ["--all-namespaces", "-A"])
def test_all_namespaces_outweighs_one_of_the_environment(spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIPERF_KUBERNETES_NAMESPACE", "perf")
    seen: list[Chosen] = []

    def frame(usage: Usage, argv: Sequence[str], work: Work, *, environ: Any, check: Callable[[Chosen], None]) -> int:
        seen.append(read_usage(usage, argv, environ))
        check(seen[0])
        return 0

    monkeypatch.setattr(listing, "run_on_cluster", frame)
    assert listing.run([spelling]) == 0
    assert seen[0].namespace is None


@pytest.mark.parametrize("usage", USAGES, ids=lambda usage: usage.name)
def test_help_tells_every_flag(usage: Usage, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_kube([usage.name, "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"Usage: aiperf kube {usage.name}")
    flags = [spelling for option in usage.options for spelling in option.spellings]
    assert [flag for flag in (*flags, "--help", "-h") if f" {flag}" not in page] == []


@pytest.mark.parametrize("name", ["preflight", "manifests"])
def test_commands_with_the_flags_of_profile_say_so(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_kube([name, "-h"]) == 0
    assert "aiperf profile --help tells them" in capsys.readouterr().out


def test_the_page_lists_what_people_call_and_nothing_else() -> None:
    rows = [line.split()[0] for line in help_text().splitlines() if line.startswith("  ")]
    assert rows == ["list", "attach", "results", "logs", "cancel", "cleanup", "preflight", "manifests"]
    assert set(COMMANDS) - set(rows) == {"adopt", "probe"}


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        ([], 2, "Usage: aiperf kube COMMAND"),
        (["--help"], 0, "Usage: aiperf kube COMMAND"),
        (["lits"], 2, "Did you mean list?"),
        (["zzz"], 2, "Commands: list, attach"),
        (["--all"], 2, "a command comes first"),
        (["attach"], 2, "a run is missing"),
        (["preflight", "--concurency", "5"], 2, "Did you mean --concurrency?"),
    ],
)
def test_what_the_shell_is_told(argv: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kube", *argv]) == code
    captured = capsys.readouterr()
    assert told in captured.out + captured.err


def test_manifests_are_those_of_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["-m", "m", "-u", "http://llm:8000", "--concurrency", "5", "--duration", "9"]
    assert main(["kube", "manifests", *argv]) == 0
    by_kube = capsys.readouterr().out
    assert main(["profile", "--kubernetes", "--dry-run", *argv]) == 0
    kinds = [line for line in by_kube.splitlines() if line.startswith("kind:")]
    assert kinds.count("kind: Job") == 2
    assert kinds == [line for line in capsys.readouterr().out.splitlines() if line.startswith("kind:")]


# What is shown


def test_the_table_of_runs() -> None:
    failed = replace(RUN, run_id="89", state=RunState.FAILED, detail="Job was active longer than allowed")
    assert listing.table([RUN, failed], NOW).splitlines() == [
        "RUN   NAMESPACE  MODEL    STATE                                       AGE  WORKERS",
        "0123  perf       llama-3  running                                     90s  3/4",
        "89    perf       llama-3  failed: Job was active longer than allowed  90s  4",
    ]


def test_runs_as_json() -> None:
    (entry,) = json.loads(listing.json_text([replace(RUN, state=RunState.SERVING)]))
    assert entry == {
        "run_id": "0123",
        "namespace": "perf",
        "model": "llama-3",
        "state": "serving",
        "detail": "",
        "created": "2026-01-31T11:58:30+00:00",
        "workers": 4,
        "workers_ready": 3,
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172800, "2d")],
)
def test_ages(seconds: int, text: str) -> None:
    assert listing.age(NOW - timedelta(seconds=seconds), NOW) == text


def test_what_is_removed_is_told_in_a_sentence() -> None:
    assert cleanup.sentence(Leftover("0123", "perf", False, "it is over")) == "run 0123 in perf: it is over"
    told = cleanup.sentence(Leftover("0123", "aiperf-0123", True, "it has expired"))
    assert told == "run 0123 with namespace aiperf-0123: it has expired"


@pytest.mark.parametrize(
    ("ended_with", "code"),
    [
        (ExitCode.DONE, ExitCode.DONE),
        (ExitCode.NOT_VALID, ExitCode.NOT_VALID),
        (ExitCode.BENCHMARK_FAILED, ExitCode.DONE),
    ],
)
async def test_results_that_are_not_as_required_make_the_code_that_the_run_had(
    monkeypatch, tmp_path, capsys, ended_with, code
):
    """Any others are fetched, which is all that was asked for."""

    async def found(*_: object) -> object:
        return RUN

    async def brought(*_: object, **__: object) -> RunFinished:
        return RunFinished(ended_with, "completed", "the verdict is invalid", str(tmp_path), "")

    for name, double in (("find_run", found), ("read_run", found), ("_bring_home", brought)):
        monkeypatch.setattr(results, name, double)
    chosen = Chosen("0123", {"--output": str(tmp_path / "results")}, frozenset())
    assert await results._fetch(cast("Cluster", None), chosen) == code
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "results")
    assert ("the run ended so" in said.err) == (ended_with != ExitCode.DONE)
