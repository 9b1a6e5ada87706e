import uuid

from hypothesis import given
from hypothesis import strategies as st

from aiperf.record.request_id import x_correlation_id, x_request_id


def test_ids_are_uuids_of_our_own_making() -> None:
    for text in (x_request_id("run", 12345, 3), x_correlation_id("run", 12345)):
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)


def test_same_request_has_the_same_id_for_ever() -> None:
    assert x_request_id("run", 12345, 3) == "fb4b0d49-47c6-8839-8003-000000003039"


@given(
    st.sets(
        st.tuples(st.sampled_from(["run", "other"]), st.integers(0, (1 << 48) - 1), st.integers(0, 0x3FFE)), min_size=2
    )
)
def test_different_requests_have_different_ids(requests: set[tuple[str, int, int]]) -> None:
    ids = {x_request_id(*request) for request in requests} | {x_correlation_id(*request[:2]) for request in requests}
    assert len(ids) == len(requests) + len({request[:2] for request in requests})
