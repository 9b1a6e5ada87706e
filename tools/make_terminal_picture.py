"""A captured terminal as an SVG picture for the docs.

`tmux capture-pane -e -p | python tools/make_terminal_picture.py > docs/images/NAME.svg`

No font is fetched: the picture names fonts that most systems have. Empty lines at the end are left out.
"""

import io
import sys

from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

BACKGROUND, FOREGROUND = "181a1f", "d6d9de"
NORMAL = "3c3f46 e06c75 98c379 e5c07b 61afef c678dd 56b6c2 d6d9de"
BRIGHT = "6e737d f0828a aad78c f5d28c 78befa d78ceb 69c8d4 ffffff"
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
FORMAT = f"""\
<svg viewBox="0 0 {{terminal_width}} {{terminal_height}}" xmlns="http://www.w3.org/2000/svg">
<style>
.{{unique_id}}-matrix {{{{ font-family: {FONTS}; font-size: {{char_height}}px; line-height: {{line_height}}px; }}}}
{{styles}}
</style>
<defs>
<clipPath id="{{unique_id}}-clip-terminal"><rect width="{{terminal_width}}" height="{{terminal_height}}"/></clipPath>
{{lines}}
</defs>
<rect width="{{terminal_width}}" height="{{terminal_height}}" rx="6" fill="#{BACKGROUND}"/>
<g transform="translate(9, 9)" clip-path="url(#{{unique_id}}-clip-terminal)">{{backgrounds}}
<g class="{{unique_id}}-matrix">{{matrix}}</g></g></svg>
"""


def main() -> None:
    # One decoder for all lines: a colour that was set stays set.
    texts = [*AnsiDecoder().decode(sys.stdin.read().rstrip()), Text()]
    width = max(text.cell_len for text in texts) + 2
    console = Console(record=True, width=width, file=io.StringIO(), highlight=False)
    for text in texts:
        console.print(text, no_wrap=True, crop=False)
    theme = TerminalTheme(rgb(BACKGROUND), rgb(FOREGROUND), [*map(rgb, NORMAL.split())], [*map(rgb, BRIGHT.split())])
    sys.stdout.write(console.export_svg(title="", theme=theme, code_format=FORMAT, unique_id="t"))


def rgb(digits: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


if __name__ == "__main__":
    main()
