import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from aiperf.plan.dumps import MASK, is_masked, load_dump, private_dump, public_dump, write_private_dump
from aiperf.plan.numbers import COUNT_MAX, RATE_MAX, RATE_MIN
from aiperf.plan.plan import EndpointPlan, LoadPlan, Plan

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
printable = st.characters(min_codepoint=33, max_codepoint=126)
counts = st.integers(min_value=1, max_value=COUNT_MAX)

plans = st.builds(
    Plan,
    endpoint=st.builds(
        EndpointPlan,
        models=st.lists(st.text(min_size=1), min_size=1).map(tuple),
        api_key=st.none() | st.text(printable, min_size=1).map(SecretStr),
        headers=st.dictionaries(st.from_regex(r"[A-Za-z-]{1,9}", fullmatch=True), st.text(printable)),
        extra_inputs=st.dictionaries(st.text(), json_values),
    ),
    load=st.builds(
        LoadPlan,
        concurrency=st.none() | counts | st.lists(counts, min_size=2).map(tuple),
        request_rate=st.none() | st.floats(min_value=RATE_MIN, max_value=RATE_MAX),
    ),
)


def secret_plan() -> Plan:
    return Plan(
        endpoint=EndpointPlan(
            models=("m",),
            api_key=SecretStr("sesame"),
            headers={"Authorization": "sesame", "X-Api-Key": "sesame", "Cookie": "sesame", "X-Run": "seven"},
            extra_inputs={"api_key": "sesame", "max_tokens": 7, "author": "anna"},
        )
    )


@given(plans)
def test_a_private_dump_round_trips_everything(plan: Plan) -> None:
    assert load_dump(private_dump(plan)) == plan


def test_the_private_dump_holds_the_key() -> None:
    key = load_dump(private_dump(secret_plan())).endpoint.api_key
    assert key is not None
    assert key.get_secret_value() == "sesame"


@pytest.mark.parametrize("shown", [repr, str, lambda plan: json.dumps(public_dump(plan))])
def test_a_secret_appears_in_nothing_that_is_shown(shown: Any) -> None:
    plan = Plan(
        endpoint=secret_plan().endpoint.model_copy(update={"extra_inputs": {}}),
    )
    assert "sesame" not in shown(plan)


def test_the_public_dump_masks_what_looks_like_a_secret_and_nothing_else() -> None:
    endpoint = public_dump(secret_plan())["endpoint"]
    assert endpoint["api_key"] == MASK
    assert endpoint["headers"] == {"Authorization": MASK, "X-Api-Key": MASK, "Cookie": MASK, "X-Run": "seven"}
    assert endpoint["extra_inputs"] == {"api_key": MASK, "max_tokens": 7, "author": "anna"}


def test_no_key_is_not_masked() -> None:
    assert public_dump(Plan(endpoint=EndpointPlan(models=("m",))))["endpoint"]["api_key"] is None


@given(plans)
def test_the_public_dump_is_json(plan: Plan) -> None:
    assert json.loads(json.dumps(public_dump(plan), allow_nan=False)) == public_dump(plan)


def test_a_mask_is_found_alone_and_in_a_mapping() -> None:
    assert is_masked(MASK)
    assert is_masked({"Authorization": MASK})
    assert not is_masked({"X": "*"})
    assert not is_masked(5)


def test_the_private_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_private_dump(secret_plan(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_dump(path.read_text()) == secret_plan()


def test_the_private_file_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.touch()
    with pytest.raises(FileExistsError):
        write_private_dump(secret_plan(), path)
