import io
import re

import pytest
from rich.cells import cell_len

from aiperf.ui.dashboard import DashboardView
from aiperf.ui.redraw import HIDE_CURSOR, SHOW_CURSOR
from aiperf.wire.messages import Progress

PROGRESS = Progress(
    phase=1, state="profiling", elapsed_s=12, sent_count=4612, completed_count=4500, failed_count=12,
    in_flight_count=100, offered_count=4612, expected_count=10_000, expected_s=-1, request_rate=300,
    output_token_rate=15_000, statistics={"request_latency": {"avg": 1.0, "p50": 2.0, "p99": 3.0}},
    errors={"http_status 503": 12},
)  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("LINES", "40")
    return Terminal()


def shown(terminal):
    """The text of the newest block."""
    block = terminal.getvalue().rpartition("\x1b[J")[2]
    return re.sub(r"\x1b\[[0-9;]*m", "", block).replace("\u00a0", " ").splitlines()


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_it_fits_the_terminal_and_loses_no_number(terminal, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    view = DashboardView(terminal)
    view.show(PROGRESS)
    lines = shown(terminal)
    view.close()
    assert max(map(cell_len, lines)) <= columns
    words = " ".join(" ".join(lines).split())
    for said in (
        "profiling",
        "45%",
        "4,512 of 10,000",
        "12 failed",
        "100 in flight",
        "300.0 requests/s",
        "12 http_sta",
    ):
        assert said in words


def test_the_cursor_comes_back_once(terminal):
    view = DashboardView(terminal)
    view.show(PROGRESS)
    view.close()
    view.close()
    view.show(PROGRESS)
    assert terminal.getvalue().count(HIDE_CURSOR) == terminal.getvalue().count(SHOW_CURSOR) == 1
    assert terminal.getvalue().endswith(SHOW_CURSOR)


def test_notices_stand_above_and_are_told_once(terminal):
    view = DashboardView(terminal)
    view.notice("worker w3 was lost")
    view.show(PROGRESS)
    view.notice("worker w3 was lost")
    view.close()
    assert terminal.getvalue().count("worker w3 was lost") == 1


def test_without_colour_there_is_none(terminal):
    view = DashboardView(terminal)
    view.notice("mind")
    view.show(PROGRESS)
    view.close()
    assert "\x1b[3" not in terminal.getvalue()


def test_a_terminal_that_is_gone_silences_it(terminal):
    view = DashboardView(terminal)
    terminal.close()
    view.show(PROGRESS)
    view.notice("nobody reads this")
    view.close()
