"""What the client says of itself."""

import pytest

from aiperf.endpoint.counters import ClientCounters


@pytest.mark.parametrize(("kernel", "user", "source"), [(5, 0, "kernel"), (0, 5, "user"), (5, 1, "mixed")])
def test_timestamp_source_says_where_stamps_came_from(kernel, user, source):
    counters = ClientCounters(kernel_stamped_read_count=kernel, user_stamped_read_count=user)
    assert counters.timestamp_source == source
    assert counters.read_count == kernel + user


def test_observations_name_every_counter():
    names = set(ClientCounters().observations())
    assert names == {name.replace("_ns", "_ms") for name in ClientCounters.__dataclass_fields__}


def test_the_source_of_stamps_is_that_of_the_measured_phase():
    counters = ClientCounters(kernel_stamped_read_count=5, user_stamped_read_count=1)
    counters.observe_anew()
    counters.user_stamped_read_count += 3
    assert counters.timestamp_source == "user"
