"""What is told in the end."""

from aiperf.cli.operator import LEFT_ALONE
from aiperf.cli.outcome import report
from aiperf.errors import ExitCode
from aiperf.wire.messages import RunFinished


def test_a_command_whose_terminal_is_gone_says_that_the_run_goes_on(capsys):
    finished = RunFinished(ExitCode.INTERRUPTED, LEFT_ALONE, "the terminal has gone; the run goes on", "", "")
    assert report(finished, "none") == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "aiperf: the terminal has gone; the run goes on\n"


def test_a_detached_run_needs_no_last_word(capsys):
    assert report(RunFinished(ExitCode.DONE, LEFT_ALONE, "", "", ""), "none") == ExitCode.DONE
    assert capsys.readouterr().err == ""
