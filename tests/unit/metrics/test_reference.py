from pathlib import Path

from aiperf.metrics.catalog import METRICS
from aiperf.metrics.reference import main, reference

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_the_page_lists_every_exported_metric():
    for metric in METRICS:
        assert (f"| `{metric.tag}` |" in reference()) == metric.exported


def test_the_committed_page_is_up_to_date():
    assert main([str(PAGE), "--check"]) == 0


def test_a_stale_page_is_found(tmp_path, capsys):
    page = tmp_path / "docs" / "metrics.md"
    assert main([str(page)]) == 0
    assert main(["--check", str(page)]) == 0
    page.write_text(page.read_text() + "edited")
    assert main([str(page), "--check"]) == 1
    assert "not up to date" in capsys.readouterr().err
