"""`aiperf plan` as a function: what it prints, what it returns."""

import pytest

from aiperf.cli import capacity
from aiperf.cli.main import main
from aiperf.deploy.machine_room import MachineRoom
from aiperf.errors import ExitCode
from aiperf.service.machine import Machine

EXPECTED = ("--streaming", "--osl", "101", "--ttft", "500ms", "--itl", "30ms")


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    room = MachineRoom(Machine(cpu_count=8, open_files=20_000), ports=28_232, memory_bytes=16_000_000_000)
    monkeypatch.setattr(capacity, "this_room", lambda: room)


def test_a_load_that_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--concurrency", "700", *EXPECTED]) == ExitCode.DONE
    printed = capsys.readouterr().out
    assert "700 connections at once; 200 requests/s; 20,200 chunks/s" in printed
    assert "TTFT 500ms, ITL 30ms, 101 output tokens: 3.50 s a request" in printed
    assert "It fits." in printed
    assert "aiperf profile --model NAME --url HOST:PORT --concurrency 700 --streaming" in printed


def test_a_machine_that_is_too_small(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--concurrency", "100000", *EXPECTED]) == ExitCode.INFRASTRUCTURE
    printed = capsys.readouterr().out
    assert "This machine is too small for the load." in printed
    assert "CPU: Lower the load" in printed


def test_pods_need_no_cluster_no_model_and_no_url(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--kubernetes", "--concurrency", "1000000", *EXPECTED]) == ExitCode.DONE
    printed = capsys.readouterr().out
    assert "Pods       532 (compact)" in printed
    assert "planned: 28,857,143 chunks/s" in printed


def test_a_url_that_is_given_is_judged(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--kubernetes", "--concurrency", "1", "-u", "localhost:1"]) == ExitCode.USAGE
    assert "is the pod itself" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["-u", "[::1]:9"], "--source-address: [::1]:9 is reached by IPv6, and none of these is an address of IPv6"),
        (["-u", "203.0.113.9:9"], "127.0.0.2: no way from there to 203.0.113.9:9"),
    ],
)
def test_source_addresses_that_are_of_no_use_are_told_as_a_run_tells_it(
    flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--concurrency", "5", "--source-address", "127.0.0.2", *flags]) == ExitCode.USAGE
    assert told in capsys.readouterr().err
    assert main(["plan", "--concurrency", "5", "--source-address", "127.0.0.2"]) == ExitCode.DONE


def test_all_problems_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--concurrency", "0", "--ttft", "5", "--itl", "3 days", "--osl-stddev", "2"]) == ExitCode.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    for flag in ("--concurrency", "--ttft", "--itl", "--osl-stddev"):
        assert f"\n  {flag}: " in told.err


def test_secrets_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--api-key", "k1", "-H", "X-Token: k2", "--header=X-Key:k3", "--concurrency", "2"]) == 0
    printed = capsys.readouterr().out
    assert "--api-key SECRET -H SECRET --header=SECRET --concurrency 2" in printed
    assert not any(key in printed for key in ("k1", "k2", "k3"))


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--help"]) == ExitCode.DONE
    assert "3: this machine is too small" in capsys.readouterr().out
