from pathlib import Path

import pytest

from aiperf.plan.fields import FIELDS
from aiperf.plan.reference import flags_page, main, schema

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_names_every_field_under_all_its_names() -> None:
    page = flags_page()
    missing = [
        name
        for field in FIELDS
        for name in (*field.option.flags, *field.no_flags, field.env_name, field.key)
        if f"`{name}`" not in page
    ]
    assert missing == []


def test_the_schema_describes_every_field() -> None:
    definitions = schema()["$defs"]
    described = {name: info for definition in definitions.values() for name, info in definition["properties"].items()}
    assert {name for name, info in described.items() if info.get("description")} == {field.name for field in FIELDS}


def test_the_schema_asks_for_nothing_that_a_flag_may_give() -> None:
    assert "required" not in str(schema())


def test_pages_are_written_and_then_found_fresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [str(tmp_path / "flags.md"), str(tmp_path / "plan.schema.json")]
    assert main(["--check", *pages]) == 1
    assert main(pages) == 0
    assert main(["--check", *pages]) == 0
    (tmp_path / "flags.md").write_text("old")
    assert main(["--check", *pages]) == 1
    assert "flags.md is stale" in capsys.readouterr().err


def test_pages_must_be_named() -> None:
    assert main(["--check"]) == 2


def test_the_checked_in_pages_are_fresh() -> None:
    assert main(["--check", str(DOCS / "flags.md"), str(DOCS / "plan.schema.json")]) == 0
