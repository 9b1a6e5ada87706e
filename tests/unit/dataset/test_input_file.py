import json
from pathlib import Path
from typing import Any

import pytest

from aiperf.dataset.input_file import SHOWN_PROBLEMS_COUNT, Entry, read_input_file
from aiperf.endpoint.dialect import RequestContent
from aiperf.errors import ExitCode, PlanError

HELLO = {"role": "user", "content": "Hello"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "prompts.jsonl"


def contents(path: Path, *lines: Any) -> list[RequestContent | None]:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [entry.content for entry in read_input_file(path)]


def problems(path: Path, content: bytes) -> list[str]:
    path.write_bytes(content)
    with pytest.raises(PlanError) as caught:
        list(read_input_file(path))
    assert caught.value.exit_code == ExitCode.USAGE
    return [str(problem).removeprefix(f"{path}, ") for problem in caught.value.problems]


def line_problems(path: Path, *lines: Any) -> list[str]:
    return problems(path, b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def test_a_line_has_a_text_or_messages(path: Path) -> None:
    assert contents(path, {"text": "Hello"}, {"messages": [HELLO]}) == [
        RequestContent(text="Hello"),
        RequestContent(messages=(HELLO,)),
    ]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "output_length"])
def test_a_line_may_ask_for_a_length_under_three_names(path: Path, field: str) -> None:
    assert contents(path, {"text": "Hello", field: 7}) == [RequestContent(text="Hello", max_tokens=7)]


def test_every_other_field_goes_into_the_body(path: Path) -> None:
    extra = {"temperature": 0.5, "model": "other", "stop": ["x"], "ignore_eos": True, "user": None}
    line = {"text": "Hello", "type": "single_turn", "session_id": "s", **extra}
    assert contents(path, line) == [RequestContent(text="Hello", extra=extra)]


def test_a_line_may_name_its_session(path: Path) -> None:
    path.write_text('{"text": "a", "session_id": "mine"}\n{"text": "b"}')
    assert [entry.session_id for entry in read_input_file(path)] == ["mine", None]


def test_empty_lines_a_byte_order_mark_and_windows_line_ends_do_not_matter(path: Path) -> None:
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n  \n{"text": "\xc3\xa9"}')
    assert [entry.content for entry in read_input_file(path)] == [RequestContent(text="a"), RequestContent(text="é")]


def test_a_null_is_as_good_as_nothing(path: Path) -> None:
    line = {"text": None, "messages": [HELLO], "max_tokens": None, "session_id": None}
    assert contents(path, line) == [RequestContent(messages=(HELLO,))]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "", "tool_call_id": "1"},
    ],
)
def test_messages_may_have_parts_and_tool_calls(path: Path, message: dict[str, Any]) -> None:
    assert contents(path, {"messages": [HELLO, message]}) == [RequestContent(messages=(HELLO, message))]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ([], 'line 1: is no JSON object like {"text": "Hello"}, but a list'),
        ("Hello", 'line 1: is no JSON object like {"text": "Hello"}, but a string'),
        ({}, "line 1: has neither `text` nor `messages`"),
        ({"prompt": "Hello"}, "line 1: has neither `text` nor `messages`"),
        ({"text": "a", "messages": [HELLO]}, "line 1: has both `text` and `messages`: leave one of them out"),
        ({"text": ""}, "line 1: `text` is empty"),
        ({"text": ["a"]}, "line 1: `text` is a list, not a string"),
        ({"text": 3}, "line 1: `text` is a number, not a string"),
        ({"text": "a", "type": "multi_turn"}, "line 1: `type` is 'multi_turn': only single_turn is supported yet"),
        ({"text": "a", "session_id": 3}, "line 1: `session_id` is a number, not a string"),
        ({"text": "a", "max_tokens": 0}, "line 1: `max_tokens` is 0, not a whole number of at least 1"),
        ({"text": "a", "max_tokens": True}, "line 1: `max_tokens` is True, not a whole number of at least 1"),
        ({"text": "a", "output_length": 2.5}, "line 1: `output_length` is 2.5, not a whole number of at least 1"),
        ({"text": "a", "timestamp": 3}, "line 1: `timestamp`: fixed schedules are not supported yet"),
        ({"texts": ["a"]}, "line 1: `texts`: write each request on a line of its own, with `text`"),
        ({"messages": {}}, "line 1: `messages` is an object, not a list"),
        ({"messages": []}, "line 1: `messages` is empty"),
        ({"messages": [HELLO, 3]}, "line 1: `messages[1]` is a number, not an object"),
        ({"messages": [{"content": "a"}]}, "line 1: `messages[0]` has no `role`"),
        ({"messages": [{"role": "user"}]}, "line 1: `messages[0]` has no `content`"),
        (
            {"messages": [{"role": "user", "content": True}]},
            "line 1: `messages[0]`: `content` is true or false, neither a string nor a list of parts",
        ),
        (
            {"text": "a", "max_tokens": 3, "output_length": 4},
            "line 1: asks for different lengths: `max_tokens` 3, `output_length` 4",
        ),
    ],
)
def test_what_is_wrong_with_a_line_is_said(path: Path, line: Any, problem: str) -> None:
    assert line_problems(path, line) == [problem]


def test_all_lines_problems_are_told_at_once_with_their_numbers(path: Path) -> None:
    found = problems(path, b'{"text": "fine"}\n\n{"text": "\xff"}\n{"text": \n{"text": "a"} b\n{"text": 1, "type": 2}')
    assert [problem.split(":")[0] for problem in found] == ["line 3", "line 4", "line 5", "line 6", "line 6"]
    assert found[0] == "line 3: is not UTF-8 text"
    assert found[1].startswith("line 4: is not JSON")
    assert found[2].startswith("line 5: is not JSON")


def test_many_problems_are_shown_in_part_and_counted(path: Path) -> None:
    found = line_problems(path, *[{}] * (SHOWN_PROBLEMS_COUNT + 13))
    assert len(found) == SHOWN_PROBLEMS_COUNT + 1
    assert found[-1] == f"{path}: and 13 more problems"
    assert len(line_problems(path, *[{}] * SHOWN_PROBLEMS_COUNT)) == SHOWN_PROBLEMS_COUNT


def test_no_entry_follows_a_problem(path: Path) -> None:
    path.write_text('{"text": "a"}\n{}\n{"text": "b"}\n')
    entries = read_input_file(path)
    assert next(entries) == Entry(RequestContent(text="a"))
    with pytest.raises(PlanError):
        next(entries)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", b'{"data": []}', b'{"data": [\n]}\n'])
def test_a_file_without_requests_is_a_problem(path: Path, content: bytes) -> None:
    (problem,) = problems(path, content)
    assert problem.startswith(f"--input-file: {path} has no request")


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    for unreadable in (tmp_path, tmp_path / "missing.jsonl"):
        with pytest.raises(PlanError, match="cannot be read"):
            list(read_input_file(unreadable))


def test_lines_are_read_as_a_stream(path: Path) -> None:
    """The first entry is there before the last line is read: this one has no end to wait for."""
    path.write_text('{"text": "a"}\n' * 50_000)
    entries = read_input_file(path)
    next(entries)
    with path.open("ab") as file:
        file.write(b"broken\n")
    with pytest.raises(PlanError, match="line 50001"):
        list(entries)


class TestInputsJson:
    """An earlier run's `inputs.json`."""

    def test_payloads_are_sent_as_they_are(self, path: Path) -> None:
        chat = '{"messages" : [{"role":"user","content":"Hello"}], "max_completion_tokens": 7, "stream":true}'
        text = '{"prompt":"Hello",  "max_tokens":8}'
        path.write_text(
            f'{{"data": [{{"session_id": "a", "payloads": [{chat}]}},\n{{"session_id": "b", "payloads": [{text}]}}]}}'
        )
        assert list(read_input_file(path)) == [
            Entry(RequestContent(messages=(HELLO,), max_tokens=7), "a", chat.encode(), streaming=True),
            Entry(RequestContent(text="Hello", max_tokens=8), "b", text.encode(), streaming=False),
        ]

    def test_line_breaks_in_payloads_become_spaces(self, path: Path) -> None:
        path.write_bytes(b'{"data": [{"session_id": "a", "payloads": [{\r\n\t"prompt":\n"a\\nb"}]}]}')
        assert [entry.body for entry in read_input_file(path)] == [b'{  \t"prompt": "a\\nb"}']

    @pytest.mark.parametrize("body", [{}, {"prompt": [1, 2]}, {"messages": "Hello"}, {"input": "Hello"}])
    def test_a_payload_without_a_known_prompt_is_sent_all_the_same(self, path: Path, body: dict[str, Any]) -> None:
        path.write_text(json.dumps({"data": [{"session_id": "a", "payloads": [body]}]}))
        assert list(read_input_file(path)) == [Entry(None, "a", json.dumps(body).encode())]

    def test_its_problems_are_told_by_position(self, path: Path) -> None:
        sessions = [
            {"session_id": "a", "payloads": [{}, {}]},
            {"session_id": "b", "payloads": []},
            {"session_id": "c", "payloads": ["Hello"]},
        ]
        assert problems(path, json.dumps({"data": sessions}).encode()) == [
            "data[0] (session a): has 2 payloads: only single turns are supported yet",
            "data[1] (session b): has 0 payloads: only single turns are supported yet",
            "data[2] (session c): its payload is a string, not an object",
        ]

    @pytest.mark.parametrize("content", [b'{"data": [1]}', b'{"data": [', b'{"data": ["\xff"]}'])
    def test_another_form_is_a_problem(self, path: Path, content: bytes) -> None:
        (problem,) = problems(path, content)
        assert problem.startswith(f"{path}: ")
