import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from aiperf import __version__
from aiperf.cli import main as cli
from aiperf.errors import BenchmarkError, ExitCode, InfrastructureError, PlanError, Problem


def command(monkeypatch: pytest.MonkeyPatch, outcome: BaseException | int) -> list[Sequence[str]]:
    """Puts a `profile` in place that ends so; returns the arguments it was called with."""
    calls: list[Sequence[str]] = []

    def run(argv: Sequence[str]) -> int:
        calls.append(argv)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setitem(cli.COMMANDS, "profile", cli.Command(run, "Stand-in."))
    return calls


def test_a_command_gets_its_arguments_and_gives_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = command(monkeypatch, 4)
    assert cli.main(["profile", "-m", "m"]) == 4
    assert [list(call) for call in calls] == [["-m", "m"]]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BenchmarkError("no request succeeded"), 1),
        (PlanError(Problem("no model")), 2),
        (InfrastructureError("the disk is full"), 3),
    ],
)
def test_an_error_is_told_without_traceback_and_sets_the_exit_code(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, error)
    assert cli.main(["profile"]) == code
    captured = capsys.readouterr()
    assert captured.err == f"aiperf: error: {error}\n"
    assert captured.out == ""


def test_all_problems_of_a_plan_are_listed() -> None:
    error = PlanError(Problem("is wrong", "--isl", "Do this."), Problem("too", "--osl"))
    assert cli.error_text(error) == ("aiperf: error: 2 problems\n  --isl: is wrong\n      Do this.\n  --osl: too")


def test_a_bug_is_a_traceback_and_a_request_to_report_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, ZeroDivisionError("by zero"))
    assert cli.main(["profile"]) == ExitCode.BUG
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "ZeroDivisionError: by zero" in told
    assert f"bug in aiperf {__version__}" in told
    assert "report it" in told


def test_an_interrupt_ends_quietly_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, KeyboardInterrupt())
    assert cli.main(["profile"]) == 130
    assert capsys.readouterr().err == "aiperf: interrupted\n"


def test_a_pipe_that_broke_elsewhere_is_a_bug(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, BrokenPipeError("a socket"))
    assert cli.main(["profile"]) == ExitCode.BUG
    assert "BrokenPipeError: a socket" in capfd.readouterr().err


@pytest.mark.parametrize("argv", [["--help"], ["profile", "--help"]])
def test_a_reader_that_left_is_no_traceback(argv: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-m", "aiperf", *argv], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == ExitCode.OUTPUT_CLOSED


def test_no_command_shows_help_on_stderr_as_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == ExitCode.USAGE
    assert "Usage: aiperf COMMAND" in capsys.readouterr().err


def test_help_lists_the_commands_of_people_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    page = capsys.readouterr().out
    assert "profile" in page
    assert "mock-server" in page
    assert "service" not in page


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"aiperf {__version__}\n"


def test_profile_help_runs_no_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profile", "-m", "m", "--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: aiperf profile")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["profiel"], "profiel: there is no such command\n    Did you mean profile?"),
        (["zzz"], "zzz: there is no such command\n    Commands: profile, plan, calibrate, mock-server, kube."),
        (["--model", "m"], "--model: a command comes first\n    Write aiperf profile --model …"),
    ],
)
def test_an_unknown_command_is_wrong_usage(argv: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == ExitCode.USAGE
    assert capsys.readouterr().err == f"aiperf: error: {told}\n"


def test_a_letter_the_terminal_cannot_show_fails_nothing() -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "aiperf", "profile", "--help"], env=environ, capture_output=True, check=True
    )
    assert b"TAG:VALUE ?" in done.stdout
