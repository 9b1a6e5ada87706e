import re

from hypothesis import given
from hypothesis import strategies as st

from aiperf.ui.redraw import Block

texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=200)


class Terminal:
    """As much of a terminal as a block needs; it wraps long lines when they are shown, at its present width."""

    def __init__(self, width):
        self.width = width
        self.lines = []
        """Everything above the cursor, which stands in the first column of the row below."""

    def rows(self):
        return [line[at : at + self.width] for line in self.lines for at in range(0, max(1, len(line)), self.width)]

    def write(self, text):
        up, rest = re.fullmatch(r"\r(?:\x1b\[(\d+)A)?\x1b\[J(.*)", text, re.DOTALL).groups()
        rows_up = int(up or 0)
        while rows_up > 0:
            rows_up -= max(1, -(-len(self.lines.pop()) // self.width))
        assert rows_up == 0, "the cursor went into the middle of a line"
        self.lines += rest.split("\r\n")[:-1]


@given(st.lists(st.tuples(st.lists(texts, max_size=8), st.integers(1, 120)), min_size=1, max_size=6))
def test_only_the_newest_block_is_left_whatever_the_widths(steps):
    block, terminal = Block(), Terminal(80)
    terminal.lines = ["$ a command", "its words"]
    for lines, width in steps:
        terminal.width = width
        terminal.write(block.replace(lines, width, 100))
        assert terminal.lines == ["$ a command", "its words", *lines]
    terminal.write(block.erase(terminal.width))
    assert terminal.lines == ["$ a command", "its words"]


def test_styles_take_no_room():
    block = Block()
    block.replace(["\x1b[1;31m" + "x" * 10 + "\x1b[0m"], 10, 24)
    assert block.erase(10) == "\r\x1b[1A\x1b[J"


def test_wide_characters_take_two_cells():
    block = Block()
    block.replace(["日" * 10], 10, 24)
    assert block.erase(10) == "\r\x1b[2A\x1b[J"


def test_what_the_terminal_has_no_room_for_is_left_out():
    assert Block().replace(["a", "b", "c", "d"], 80, 3) == "\r\x1b[Ja\r\nb\r\n"


def test_blanks_at_the_end_of_a_line_are_not_written():
    assert Block().replace(["a   "], 80, 24) == "\r\x1b[Ja\r\n"
