"""Which addresses others can reach, and where their binders listen."""

import pytest

from aiperf.wire.address import as_bound, is_exposed


@pytest.mark.parametrize("address", ["inproc://control", "ipc:///tmp/x/control", "tcp://127.0.0.1:5", "control"])
def test_what_only_this_machine_reaches_is_not_exposed_and_bound_as_it_is(address):
    assert not is_exposed(address)
    assert as_bound(address) == address


@pytest.mark.parametrize(
    "address", ["tcp://controller.aiperf-x:5551", "tcp://10.0.0.7:5551", "tcp://127.0.0.2:5551", "tcp://[::1]:5551"]
)
def test_any_other_place_is_exposed_and_stands_for_all_addresses_of_its_host(address):
    assert is_exposed(address)
    assert as_bound(address) == "tcp://*:5551"
    assert is_exposed(as_bound(address))
