import json

import msgspec

from aiperf.report.inputs_json import write_inputs


def test_sessions_are_written_in_order_a_line_each(tmp_path):
    path = tmp_path / "inputs.json"
    sessions = (
        (f"session-{index}", [{"model": "m", "n": index}, msgspec.Raw(b'{"ready": true}')]) for index in range(3)
    )
    write_inputs(path, sessions)
    assert json.loads(path.read_text()) == {
        "data": [
            {"session_id": f"session-{index}", "payloads": [{"model": "m", "n": index}, {"ready": True}]}
            for index in range(3)
        ]
    }
    assert len(path.read_text().splitlines()) == 5


def test_an_empty_dataset_is_an_empty_list(tmp_path):
    write_inputs(tmp_path / "inputs.json", [])
    assert json.loads((tmp_path / "inputs.json").read_text()) == {"data": []}
