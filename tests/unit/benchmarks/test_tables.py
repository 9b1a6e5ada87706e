"""Tables are Markdown; ratios say nothing where there is nothing to say."""

import pytest
from tables import Table, ratio


def test_a_table_is_markdown_with_aligned_columns_and_short_rows_are_filled() -> None:
    table = Table(["tool", "ms"])
    table.add(["ours", "0.1"])
    table.add(["failed"])
    assert str(table).splitlines() == [
        "| tool   | ms  |",
        "| ------ | --- |",
        "| ours   | 0.1 |",
        "| failed |     |",
    ]


@pytest.mark.parametrize(
    ("value", "of", "text"), [(30.0, 2.0, "15"), (3.0, 2.0, "1.5"), (1.0, 8.0, "0.12"), (1.0, 0.0, ""), (-1.0, 2.0, "")]
)
def test_a_ratio_has_two_digits_or_is_empty(value: float, of: float, text: str) -> None:
    assert ratio(value, of) == text
