from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from aiperf.deploy.kubernetes.yaml_out import yaml_text

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(texts, values, min_size=1, max_size=3), min_size=1, max_size=3))
def test_what_is_printed_is_read_back(manifests: list[dict[str, Any]]) -> None:
    assert list(yaml.safe_load_all(yaml_text(manifests))) == manifests


def test_words_that_yaml_would_take_for_something_else_stay_text() -> None:
    manifest = {"status": "True", "n": "2", "none": "null", "no": "no", "date": "2027-01-15", "exp": "1e3", "empty": ""}
    assert yaml.safe_load(yaml_text([manifest])) == manifest


def test_keys_keep_their_order_and_nothing_is_abbreviated() -> None:
    shared = {"b": 1, "a": 2}
    assert yaml_text([{"z": shared, "y": shared}]) == "---\nz:\n  b: 1\n  a: 2\ny:\n  b: 1\n  a: 2\n"


def test_lines_of_a_text_stay_lines() -> None:
    assert yaml_text([{"pem": "one\ntwo\n"}]) == "---\npem: |\n  one\n  two\n"
