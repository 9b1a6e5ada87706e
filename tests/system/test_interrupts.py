"""Ctrl-C, once and more often, and the other signals that ask for the end: in order, with what there is, at once."""

import fcntl
import os
import pty
import re
import select
import signal
import termios
import threading
import time

import pytest

LOAD = ("--streaming", "--concurrency", "4", "--connections-per-worker", "2", "--duration", "60")


@pytest.fixture(scope="module")
def url(module_mock_server):
    return module_mock_server("--ttft", "10", "--itl", "5")


@pytest.fixture(scope="module")
def slow_url(module_mock_server):
    """Its requests do not end by themselves."""
    return module_mock_server("--ttft", "60000")


MINDS_HANG_UP = ("env", "--default-signal=HUP")
"""These tests may be under `nohup`, and what they start would be too."""


class Terminal:
    """A terminal with a person at it: what is typed, and what can be read."""

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        self._reader = threading.Thread(target=self._read)
        self._is_wanted = True
        self.screen = ""

    def options(self) -> dict:
        """For a process that shall be in its foreground."""

        def take_control() -> None:
            os.setsid()
            fcntl.ioctl(self._slave, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)

        return {
            "stdin": self._slave,
            "stdout": self._slave,
            "stderr": self._slave,
            "preexec_fn": take_control,
            "env": {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
        }

    def started(self) -> None:
        os.close(self._slave)
        self._reader.start()

    def press(self, key: bytes) -> None:
        os.write(self._master, key)

    def close(self) -> None:
        """Takes the terminal away. What was printed until now is on the screen."""
        self._is_wanted = False
        self._reader.join()
        os.close(self._master)

    def _read(self) -> None:
        while True:
            ready, _, _ = select.select([self._master], [], [], 0.05)
            if not ready and not self._is_wanted:
                return
            try:
                self.screen += os.read(self._master, 4096).decode(errors="replace") if ready else ""
            except OSError:  # the last process has closed its side
                return


CTRL_C = b"\x03"
COLOUR = re.compile(r"\x1b\[([0-9;]*)m")


def is_interrupted(run):
    """The run ended as asked for, with its artifacts marked."""
    assert run.exit_code == 130, run.stderr
    assert run.stderr.rstrip().endswith("aiperf: interrupted; the results so far are in the artifacts")
    summary = run.summary
    assert (summary["was_cancelled"], summary["is_complete"]) == (True, False)
    assert run.reconciles
    assert len(run.lines) == summary["records"]["records"] + summary["records"]["cut"]
    return summary["credits"]


def test_ctrl_c_lets_requests_in_flight_finish(aiperf, url):
    run = aiperf.start_small(url, *LOAD)
    run.wait_for_load()
    run.signal(signal.SIGINT)
    run.finish()
    credits = is_interrupted(run)
    assert credits["completed"] == credits["issued"] > 0
    assert "stopping: waiting for requests in flight (Ctrl-C again cuts them)" in run.stderr
    assert "Time to first token" in run.stdout


def test_ctrl_c_twice_cuts_what_is_in_flight(aiperf, slow_url):
    run = aiperf.start_small(slow_url, *LOAD)
    run.wait_for_load()
    run.signal(signal.SIGINT)
    time.sleep(0.3)
    assert run.process.poll() is None
    run.signal(signal.SIGINT)
    run.finish()
    credits = is_interrupted(run)
    assert credits["censored"] + credits["cancelled"] == credits["issued"] == 4


def test_ctrl_c_three_times_ends_every_process(aiperf, slow_url):
    run = aiperf.start_small(slow_url, *LOAD)
    run.wait_for_load()
    run.host("control").suspend()  # nobody heeds the first two
    for _ in range(3):
        run.signal(signal.SIGINT)
        time.sleep(0.2)  # signals of one kind that are pending at once are one signal
    run.finish()
    assert run.exit_code == 130
    assert run.stderr.rstrip().endswith("aiperf: interrupted")
    assert not list(run.folder.glob("*.json"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_does_not_wait_long_cuts_what_is_in_flight(aiperf, slow_url, number):
    run = aiperf.start_small(slow_url, *LOAD, prefix=MINDS_HANG_UP)
    run.wait_for_load()
    run.signal(number)
    run.finish()
    credits = is_interrupted(run)
    assert credits["censored"] + credits["cancelled"] == credits["issued"] == 4


def test_sighup_is_ignored_when_it_was_before(aiperf, url):
    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    run = aiperf.start_small(url, "--concurrency", "2", "--request-count", "100", preexec_fn=nohup)
    run.wait_for_load()
    run.signal(signal.SIGHUP)
    run.finish()
    assert run.exit_code == 0
    assert run.value("request_count") == 100


def test_ctrl_c_while_starting_ends_at_once(aiperf, url):
    run = aiperf.start("-m", "m", "--tokenizer", "builtin", "--url", url, "--num-prompts", "100000", *LOAD)
    run.host("control")
    run.signal(signal.SIGINT)
    run.finish()
    assert run.exit_code == 130
    assert run.stderr.rstrip().endswith("aiperf: interrupted")


def test_a_signal_at_any_moment_leaves_nothing_behind(aiperf, url):
    """At moments that have no name: forking, registering, running, writing, leaving."""
    for step in range(6):
        run = aiperf.start_small(url, "--concurrency", "2", "--request-count", "4")
        run.eventually(run.artifacts.exists, "the plan is made")
        time.sleep(0.1 * step)
        number = (signal.SIGINT, signal.SIGTERM)[step % 2]
        run.signal(number)
        run.finish()
        # Once everything is removed, and while Python itself ends, the system's way of ending is left.
        assert run.exit_code in (0, 130, -number)


def test_ctrl_c_in_the_warm_up_is_an_interrupted_run_without_results(aiperf, slow_url):
    run = aiperf.start_small(slow_url, *LOAD, "--warmup-request-count", "10")
    run.wait_for_load()
    run.signal(signal.SIGTERM)
    run.finish()
    assert run.exit_code == 130
    assert run.summary["was_cancelled"]
    assert run.lines == []


def test_ctrl_c_at_the_terminal_reaches_the_command_only(aiperf, url):
    terminal = Terminal()
    run = aiperf.start_small(url, *LOAD, **terminal.options())
    terminal.started()
    run.wait_for_load()
    terminal.press(CTRL_C)
    run.finish()
    terminal.close()
    assert run.exit_code == 130
    assert "Traceback" not in terminal.screen
    assert "was lost" not in terminal.screen
    assert run.summary["credits"]["lost"] == 0
    assert run.summary["credits"]["completed"] == run.summary["credits"]["issued"] > 0
    assert "interrupted; the results so far are in the artifacts" in terminal.screen
    # The live view gave the terminal back: its cursor is shown again.
    assert terminal.screen.rfind("\x1b[?25h") >= terminal.screen.rfind("\x1b[?25l")


def test_a_terminal_that_goes_away_ends_the_run(aiperf, url):
    terminal = Terminal()
    run = aiperf.start_small(url, *LOAD, **terminal.options())
    terminal.started()
    run.wait_for_load()
    terminal.close()
    run.finish()
    assert run.exit_code == 3  # the results are there, but could not be shown
    assert run.summary["was_cancelled"]


def test_no_color_leaves_the_screen_without_colour(aiperf, url):
    terminal = Terminal()
    options = terminal.options()
    options["env"] |= {"NO_COLOR": "1"}
    run = aiperf.start_small(url, "--streaming", "--concurrency", "2", "--request-count", "20", **options)
    terminal.started()
    run.finish()
    terminal.close()
    assert run.exit_code == 0
    assert "Time to first token" in terminal.screen
    codes = {code for sequence in COLOUR.findall(terminal.screen) for code in sequence.split(";")}
    assert not codes & {str(number) for number in (*range(30, 39), *range(40, 49), *range(90, 98), *range(100, 108))}


def test_a_pause_of_the_command_is_no_silence_of_the_controller(aiperf, url):
    run = aiperf.start_small(url, "--concurrency", "2", "--request-count", "100")
    run.wait_for_load()
    run.signal(signal.SIGSTOP)
    time.sleep(2)
    run.signal(signal.SIGCONT)
    run.finish()
    assert run.exit_code == 0
    assert run.value("request_count") == 100
