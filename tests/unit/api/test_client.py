from pathlib import Path

import pytest

from aiperf.api.client import _safe_path
from aiperf.api.failures import DamagedTransferError


@pytest.mark.parametrize("name", ["", "..", "../a", "a/../../b", "/etc/passwd", "a\\..\\b", "a\0b", ".aiperf-fetch/a"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str) -> None:
    with pytest.raises(DamagedTransferError):
        _safe_path(name)


def test_a_name_within_is_a_path() -> None:
    assert _safe_path("logs/aiperf.log") == Path("logs/aiperf.log")
