"""What the pages for people say is held against the code: links, flags, commands, names, exit codes, dependencies."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiperf.cli.flags import CONFIG_FLAGS, HELP_FLAGS, plan_from_argv
from aiperf.cli.kube import attach, cancel, cleanup, listing, logs, results
from aiperf.cli.kube.usage import read_usage
from aiperf.cli.main import main
from aiperf.endpoint.exchange import ErrorKind
from aiperf.errors import ExitCode, PlanError
from aiperf.metrics.catalog import BY_TAG
from aiperf.mock.command import build_parser
from aiperf.mock.faults import KNOWN
from aiperf.plan.fields import FIELDS, FLAGS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}

FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PROFILE_FLAGS = {*FLAGS, *CONFIG_FLAGS, *HELP_FLAGS}
MOCK_FLAGS = {spelling for action in build_parser()._actions for spelling in action.option_strings}
KUBE_USAGES = {module.USAGE.name: module.USAGE for module in (attach, cancel, cleanup, listing, logs, results)}
KUBE_FLAGS = {spelling for usage in KUBE_USAGES.values() for option in usage.options for spelling in option.spellings}
FOREIGN_FLAGS = {"--flag"}
"""Placeholders that stand in running text."""


def pages(*names: str) -> pytest.MarkDecorator:
    chosen = {name: text for name, text in TEXTS.items() if not names or name in names}
    return pytest.mark.parametrize("text", chosen.values(), ids=chosen)


def page(name: str) -> str:
    return TEXTS[name]


# Links


@pytest.mark.parametrize("name", TEXTS)
def test_every_relative_link_leads_to_a_file_and_a_heading(name: str) -> None:
    here = ROOT / name
    missing = []
    for target in LINK.findall(FENCED.sub("", TEXTS[name])):
        if "://" in target or target.startswith("mailto:"):
            continue
        path_text, _, anchor = target.partition("#")
        path = (here.parent / path_text).resolve() if path_text else here
        if not path.exists() or (anchor and anchor not in headings(path)):
            missing.append(target)
    assert missing == []


def headings(path: Path) -> set[str]:
    """Anchors as code hosts make them of headings."""
    lines = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}


def test_the_index_leads_to_every_page() -> None:
    linked = {Path(target).name for target in LINK.findall(page("docs/README.md"))}
    assert {path.name for path in ROOT.glob("docs/*.md")} - {"README.md"} <= linked


def test_the_list_of_decisions_is_whole() -> None:
    linked = set(LINK.findall(page("docs/decisions/README.md")))
    assert linked == {path.name for path in ROOT.glob("docs/decisions/[0-9]*.md")}


# Commands and flags


def commands(text: str) -> Iterator[list[str]]:
    """The words of every whole `aiperf …` command in a code block, whether fenced or indented."""
    blocks = FENCED.findall(text) + re.findall(
        r"(?:^(?: {4}|\t)\S.*\n(?:(?: {4}|\t).*\n)*)", FENCED.sub("", text), re.MULTILINE
    )
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            stripped = re.split(r"[#>|]", line.strip().removeprefix("$ "))[0].removesuffix("&").strip()
            if stripped.startswith("aiperf ") and "…" not in stripped and "·" not in stripped:
                yield shlex.split(stripped)[1:]


def all_commands(name: str) -> list[list[str]]:
    found = [words[1:] for text in TEXTS.values() for words in commands(text) if words[0] == name]
    # A loop over $n stands for its values.
    return [[word.replace("$n", "8") for word in words] for words in found]


def test_there_are_commands_to_check() -> None:
    assert len(all_commands("profile")) >= 15
    assert len(all_commands("mock-server")) >= 4
    assert len(all_commands("kube")) >= 10


@pytest.mark.parametrize("words", all_commands("profile"), ids=" ".join)
def test_every_profile_command_is_a_plan(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Save for files of the reader's, and for the model where a file or the environment names it."""
    monkeypatch.chdir(ROOT)
    try:
        plan_from_argv(words, {} if "--model" in words or "-m" in words else {"AIPERF_MODELS": "NAME"})
    except PlanError as error:
        problems = error.problems
    else:
        problems = ()
    absent = ("does not exist", "No such file or directory")
    assert [problem for problem in problems if not problem.what.endswith(absent)] == []


@pytest.mark.parametrize("words", all_commands("plan"), ids=" ".join)
def test_every_plan_of_a_load_can_be_made(words: list[str]) -> None:
    plan_from_argv(words, {}, needless=frozenset({"models", "urls"}))


@pytest.mark.parametrize("words", all_commands("mock-server"), ids=" ".join)
def test_every_mock_server_command_is_read(words: list[str]) -> None:
    build_parser().parse_args(words)


def test_every_command_of_kube_that_is_named_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kube", "--help"]) == ExitCode.DONE
    there = re.findall(r"^  (\w+) ", capsys.readouterr().out, re.MULTILINE)
    named = {word for text in TEXTS.values() for word in re.findall(r"aiperf\s+kube\s+([a-z]+)", text)}
    assert len(there) >= 8
    assert set(there) <= named
    assert named <= set(there)


@pytest.mark.parametrize("words", all_commands("kube"), ids=" ".join)
def test_every_kube_command_is_read(words: list[str]) -> None:
    name, *rest = words
    if name in KUBE_USAGES:
        read_usage(KUBE_USAGES[name], rest, {})
    else:
        assert name in ("preflight", "manifests")
        endpoint = {"AIPERF_MODELS": "NAME", "AIPERF_URLS": "http://llm:8000"}
        plan_from_argv(["--kubernetes", *rest], endpoint)


@pages()
def test_every_flag_that_is_named_exists(text: str) -> None:
    spans = INLINE.findall(FENCED.sub("", text))
    named = {word.partition("=")[0] for span in spans if span.startswith("--") for word in span.split()}
    flags = {word.strip("`,.") for word in named if re.fullmatch(r"--[a-z][a-z-]*", word)}
    assert flags - PROFILE_FLAGS - MOCK_FLAGS - KUBE_FLAGS - FOREIGN_FLAGS == set()


@pages()
def test_every_environment_variable_that_is_named_exists(text: str) -> None:
    named = set(re.findall(r"\bAIPERF_[A-Z_]+[A-Z]\b", text))
    # The page on plans shows a misspelt one, on purpose; the test cluster reads variables of its own.
    harness = "".join(path.read_text() for path in (ROOT / "tests/kubernetes").rglob("*.py"))
    read_by_tests = set(re.findall(r"\bAIPERF_(?:TEST|CLUSTER)_[A-Z_]+[A-Z]\b", harness))
    assert named - {name for field in FIELDS for name in field.env_names} - read_by_tests <= {"AIPERF_CONCURENCY"}


def test_the_page_of_the_mock_server_names_every_fault_and_no_other() -> None:
    table = page("docs/mock-server.md").partition("## Faults")[2].partition("## The truth log")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {part.partition(";")[0] for row in rows for span in INLINE.findall(row) for part in span.split(",")}
    assert named == set(KNOWN)


# Names


def test_every_stop_of_the_tour_names_what_is_there() -> None:
    stops = re.findall(r"\]\(\.\./(src/\S+\.py)\): ((?:`\w+`(?:, )?)+)", page("docs/tour.md"))
    missing = [
        f"{path}: {name}"
        for path, names in stops
        for name in INLINE.findall(names)
        if not re.search(rf"^(?:async )?(?:def|class) {name}\b|^{name}\b.*=", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert len(stops) >= 20
    assert missing == []


def test_the_tour_has_at_most_twelve_stops() -> None:
    assert 8 <= len(re.findall(r"^\d+\. ", page("docs/tour.md"), re.MULTILINE)) <= 12


@pages()
def test_every_file_of_ours_that_is_named_exists(text: str) -> None:
    named = re.findall(r"\b(?:src|tests|benchmarks|tools|examples)/[\w/.-]+\.(?:py|yaml|md|toml)\b", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


@pages("README.md", "docs/how-to-goodput.md", "docs/how-to-read-results.md", "docs/how-to-ci.md", "docs/how-to-tls.md")
def test_every_metric_that_is_named_exists(text: str) -> None:
    spans = {span.partition(":")[0] for span in INLINE.findall(FENCED.sub("", text))}
    tags = {span for span in spans if re.fullmatch(r"(http_req_|effective_|inter_|time_to_|good|adj_)\w+", span)}
    assert tags - set(BY_TAG) == set()


def test_every_trouble_in_a_cluster_is_told_in_the_words_of_the_program() -> None:
    table = page("docs/kubernetes.md").partition("## When something goes wrong")[2]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    spans = [span for cell in cells for span in INLINE.findall(cell)]
    said = "\n".join(texts_of(*ROOT.glob("src/aiperf/deploy/kubernetes/*.py"), *ROOT.glob("src/aiperf/*/*.py")))
    assert len(spans) >= 25
    assert [part for part in map(longest_part, spans) if part not in said] == []


def texts_of(*paths: Path) -> Iterator[str]:
    """Every literal text in these modules; what is put into one is `…`."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.JoinedStr(values=values):
                    yield "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in values)
                case ast.Constant(value=str(text)):
                    yield text


def longest_part(quoted: str) -> str:
    """Of a quoted text with omissions, numbers and names in it: the longest part that always stands."""
    return max(re.split(r"…|: of |\d+|worker|: there|its limit", quoted), key=len).strip()


def test_every_kind_of_error_is_explained() -> None:
    table = page("docs/how-to-read-results.md").partition("## Errors")[2].partition("## Verdict")[0]
    named = {span for line in table.splitlines() if line.startswith("|") for span in INLINE.findall(line)}
    kinds = {kind.name.lower() for kind in ErrorKind if kind not in (ErrorKind.NO_ERROR, ErrorKind.CUT)}
    assert kinds <= named


def test_the_readme_lists_every_exit_code() -> None:
    table = page("README.md").partition("## Exit codes")[2].partition("\n## ")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == sorted(ExitCode)


def test_every_dependency_has_its_reason() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.split(r"[<>=~!\[ ]", dependency)[0] for dependency in declared]
    rows = re.findall(r"^\| ([a-z0-9-]+) \|", page("docs/decisions/0016-dependencies.md"), re.MULTILINE)
    assert [row for row in rows if row != "dependency"] == sorted(names)


def test_every_word_of_make_that_is_named_exists() -> None:
    words = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for text in TEXTS.values() for word in re.findall(r"`make ([a-z]+)`", text)}
    assert named
    assert named <= words
