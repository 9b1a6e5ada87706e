import io

import pytest

from aiperf.ui.dashboard import DashboardView
from aiperf.ui.lines import LinesView
from aiperf.ui.live import SilentView, open_view


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("kind", "stream", "environ", "view"),
    [
        (None, Terminal(), {"TERM": "xterm"}, DashboardView),
        (None, io.StringIO(), {"TERM": "xterm"}, LinesView),
        (None, Terminal(), {"TERM": "dumb"}, LinesView),
        ("dashboard", Terminal(), {}, DashboardView),
        ("dashboard", io.StringIO(), {}, LinesView),
        ("simple", Terminal(), {}, LinesView),
        ("none", Terminal(), {}, SilentView),
    ],
)
def test_the_view_is_the_one_that_the_stream_can_carry(kind, stream, environ, view):
    opened = open_view(kind, stream, environ)
    assert type(opened) is view
    opened.close()
