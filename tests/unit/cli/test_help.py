import subprocess
import sys

import pytest

from aiperf.cli.flags import CONFIG_FLAGS, HELP_FLAGS
from aiperf.cli.help import profile_help
from aiperf.plan.fields import FIELDS, FLAGS, SECTIONS


def test_help_lists_every_flag() -> None:
    words = set(profile_help(100).replace(",", " ").split())
    assert {*FLAGS, *CONFIG_FLAGS, *HELP_FLAGS} - words == set()


def test_help_names_every_variable_and_every_key() -> None:
    page = profile_help(100)
    assert [field.name for field in FIELDS if f"{field.env_name}, {field.key}" not in page] == []


def test_help_is_grouped_by_section_in_the_plans_order() -> None:
    places = [profile_help(100).index(f"\n{section.capitalize()}: ") for section in SECTIONS]
    assert places == sorted(places)


def test_help_tells_defaults_with_units() -> None:
    page = profile_help(100)
    assert "Default: 30 s." in page
    assert "Default: http://localhost:8000." in page


@pytest.mark.parametrize("width", [0, 40, 60, 80, 100])
def test_help_fits_the_terminal_but_for_words_that_do_not(width: int) -> None:
    limit = max(width, 40)
    assert [line for line in profile_help(width).splitlines() if len(line) > limit and len(line.split()) > 2] == []


def test_help_holds_no_control_characters() -> None:
    assert profile_help(80).replace("\n", "").isprintable()


def imported_by(*argv: str) -> set[str]:
    """The modules in a fresh interpreter after the command; their number, not the seconds, is what keeps it fast."""
    code = f"import sys, aiperf.cli.main as m; code = m.main({argv!r}); print('\\n', *sys.modules); sys.exit(code)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


HEAVY = {"numpy", "zmq", "uvloop", "asyncio", "rich", "tokenizers", "huggingface_hub", "msgspec", "yaml"}


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_load_next_to_nothing(flag: str) -> None:
    assert imported_by(flag).isdisjoint({*HEAVY, "pydantic"})


def test_the_help_of_profile_loads_only_the_plan() -> None:
    assert imported_by("profile", "--help").isdisjoint(HEAVY)
