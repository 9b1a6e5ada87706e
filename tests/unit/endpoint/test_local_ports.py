"""Which ports there are, and that every one of them is in one window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.endpoint.local_ports import PortShare, addresses_needed, local_ports, port_windows, usable_ports


@pytest.fixture
def files(tmp_path):
    def write(ports: str, reserved: str = ""):
        (tmp_path / "range").write_text(ports)
        (tmp_path / "reserved").write_text(reserved)
        return tmp_path / "range", tmp_path / "reserved"

    return write


def test_ports_are_those_of_the_range(files):
    range_file, reserved_file = files("32768\t60999\n", "\n")
    assert local_ports(range_file) == range(32768, 61000)
    assert usable_ports(range_file, reserved_file) == 28_232


@pytest.mark.parametrize(
    ("reserved", "left"),
    [("5", 100), ("1000", 99), ("1000-1009,1099", 89), ("990-1004,1098-2000", 93), ("1-65535", 1)],
)
def test_reserved_ports_are_not_usable(files, reserved, left):
    assert usable_ports(*files("1000 1099", reserved)) == left


def test_without_a_file_the_dynamic_ports_are_taken(tmp_path):
    assert local_ports(tmp_path / "none") == range(49152, 65536)
    assert usable_ports(tmp_path / "none", tmp_path / "none") == 16_384


@pytest.mark.parametrize(("connections", "needed"), [(0, 1), (1, 1), (28_232, 1), (28_233, 2), (1_000_000, 36)])
def test_addresses_needed(connections, needed):
    assert addresses_needed(connections, 28_232) == needed


@given(st.integers(1, 65_535), st.integers(1, 40_000), st.integers(1, 200))
def test_windows_of_all_shares_are_the_ports_each_once(low, length, count):
    ports = range(low, min(low + length, 65_536))
    shares = [port_windows(ports, PortShare(index, count)) for index in range(count)]
    assert [port for windows in shares for window in windows for port in window] == list(ports)
    sizes = [sum(map(len, windows)) for windows in shares]
    assert max(sizes) - min(sizes) <= 1
    assert all(0 < len(window) <= 384 for windows in shares for window in windows)
