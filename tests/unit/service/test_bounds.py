from aiperf.service.bounds import BOUNDS
from aiperf.service.channels import CHANNELS


def test_every_channel_has_its_bound():
    told = " ".join(bound.where for bound in BOUNDS)
    assert all(f"`{kind}`" in told for kind in CHANNELS)


def test_every_bound_says_what_happens_when_it_is_reached():
    for bound in BOUNDS:
        assert all(bound), bound
        assert "|" not in "".join(bound)
