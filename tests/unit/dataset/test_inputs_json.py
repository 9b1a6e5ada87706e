import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiperf.dataset.inputs_json import is_inputs_json, read_inputs_json
from aiperf.report.inputs_json import write_inputs

BODY = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.integers(-9, 9), max_size=3
).map(lambda fields: json.dumps(fields).encode())
SESSIONS = st.lists(
    st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), st.lists(BODY, max_size=3)), max_size=8
)


@given(sessions=SESSIONS)
def test_what_the_report_wrote_is_read_byte_for_byte(
    sessions: list[tuple[str, list[bytes]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("inputs") / "inputs.json"
    write_inputs(path, ((name, [msgspec.Raw(body) for body in bodies]) for name, bodies in sessions))
    assert is_inputs_json(path.read_bytes())
    read = [(session.session_id, [bytes(body) for body in session.payloads]) for session in read_inputs_json(path)]
    assert read == sessions


@pytest.mark.parametrize("layout", [{"indent": 2}, {}, {"separators": (",", ":")}])
def test_any_layout_of_the_json_is_read(layout: dict[str, int], tmp_path: Path) -> None:
    path = tmp_path / "inputs.json"
    content = {
        "data": [{"session_id": "a", "payloads": [{"prompt": "x"}], "more": 1}, {"session_id": "b", "payloads": []}]
    }
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(content, **layout).encode())  # type: ignore[arg-type]
    assert is_inputs_json(path.read_bytes())
    sessions = list(read_inputs_json(path))
    assert [session.session_id for session in sessions] == ["a", "b"]
    assert json.loads(bytes(sessions[0].payloads[0])) == {"prompt": "x"}


@pytest.mark.parametrize(
    "content",
    [
        '{"data": [{"session_id": 1, "payloads": []}]}',
        '{"data": [{"payloads": []}]}',
        '{"data": [\n{"session_id":"a","payloads":[{}]},\n',
        '{"data": [',
    ],
)
def test_another_form_is_a_value_error(content: str, tmp_path: Path) -> None:
    path = tmp_path / "inputs.json"
    path.write_text(content)
    with pytest.raises(ValueError):  # noqa: PT011 the JSON library's own wording
        list(read_inputs_json(path))


@pytest.mark.parametrize(
    "head", [b"", b"[]", b'{"text": "data"}', b'{"text": "{\\"data\\": ["}', b'{"data": {}}', b"data"]
)
def test_other_files_are_not_taken_for_it(head: bytes) -> None:
    assert not is_inputs_json(head)
