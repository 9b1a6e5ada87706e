from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from aiperf.plan.values import (
    file_name_part,
    json_fields,
    normalise_path,
    normalise_url,
    read_body_fields,
    read_headers,
    read_list,
    sendable_headers,
    sendable_key,
)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://localhost:8000", "http://localhost:8000"),
        ("localhost:8000", "http://localhost:8000"),
        ("localhost:8000/", "http://localhost:8000"),
        ("10.0.0.1:80/v1/", "http://10.0.0.1:80/v1"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("https://api.example.com/openai/", "https://api.example.com/openai"),
        ("HTTPS://api.example.com", "https://api.example.com"),
    ],
)
def test_a_url_is_normalised(text: str, url: str) -> None:
    assert normalise_url(text) == url
    assert normalise_url(url) == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("example.com", "has no scheme"),
        ("example.com/v1", "has no scheme"),
        ("ftp://example.com", "must be http or https, not ftp"),
        ("http://", "no proper host"),
        ("http://:8000", "no proper host"),
        ("http://a b", "no proper host"),
        ("http://host:99999", "is not a URL"),
        ("http://host:port", "is not a URL"),
        ("host:99999", "is not a URL"),
        ("http://host:0", "0 is not a port"),
        ("http://[::1", "is not a URL"),
        ("http://host/v1?x=1", "leave out"),
        ("http://host/#top", "leave out"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        normalise_url(text)


@pytest.mark.parametrize("text", ["http://anna:sesame@host", "https://sesame@host:1/v1", "anna:sesame@host:8000"])
def test_credentials_in_a_url_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="credentials") as caught:
        normalise_url(text)
    assert "sesame" not in str(caught.value)


@given(st.text())
def test_normalising_any_text_gives_a_stable_url_or_a_reason(text: str) -> None:
    with suppress(ValueError):
        url = normalise_url(text)
        assert url.startswith(("http://", "https://"))
        assert normalise_url(url) == url


def test_a_path_starts_with_one_slash() -> None:
    assert normalise_path("v2/chat") == normalise_path("/v2/chat") == "/v2/chat"


@pytest.mark.parametrize("text", ["http://host/v1", "/a b"])
def test_a_path_is_only_a_path(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the two reasons differ
        normalise_path(text)


def test_a_prefix_of_files_names_no_folder() -> None:
    assert file_name_part("night") == "night"
    with pytest.raises(ValueError, match="--artifact-dir"):
        file_name_part("../night")


def test_headers_are_split_at_the_first_colon_and_trimmed() -> None:
    assert read_headers(("X-Time: 12:30", "Y:")) == {"X-Time": "12:30", "Y": ""}


def test_a_later_header_replaces_an_earlier_one_of_any_case() -> None:
    assert read_headers(("X-A:1", "x-a:2")) == {"x-a": "2"}


def test_headers_may_be_a_json_object() -> None:
    assert read_headers(('{"X-A": "1", "X-B": "2"}', "X-C:3")) == {"X-A": "1", "X-B": "2", "X-C": "3"}


@pytest.mark.parametrize("text", ["Bearer sesame", '{"X": sesame}', '{"X": ["sesame"]}'])
def test_a_header_that_cannot_be_read_is_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_headers((text,))
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("headers", [{"X A": "1"}, {"": "1"}, {"X": "sesame\r\nY: 1"}, {"X": "sésame"}])
def test_headers_that_cannot_be_sent_are_refused_without_their_value(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="header") as caught:
        sendable_headers(headers)
    assert "same" not in str(caught.value)


@pytest.mark.parametrize("key", ["sesame\n", "se same", "sésame"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(ValueError, match="the key holds") as caught:
        sendable_key(SecretStr(key))
    assert key.strip() not in str(caught.value)


def test_body_fields_take_json_values_and_else_text() -> None:
    texts = ("temperature:0.5", 'stop:["a", "b"]', "user:anna", "note:a:b", '{"n": 1}', "temperature:0", "top_p:NaN")
    assert read_body_fields(texts) == {
        "temperature": 0,
        "stop": ["a", "b"],
        "user": "anna",
        "note": "a:b",
        "n": 1,
        "top_p": "NaN",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [("temperature", "KEY:VALUE"), (":1", "KEY:VALUE"), ("{x}", "is not JSON"), ('{"x": NaN}', "JSON")],
)
def test_a_body_field_that_cannot_be_read_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_body_fields((text,))


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, {1, 2}, b"x", (1, 2)])
def test_only_what_json_can_say_is_a_body_field(value: object) -> None:
    with pytest.raises(ValueError, match="'x' cannot be written as JSON"):
        json_fields({"x": value})


def test_lists_are_comma_separated_and_add_up() -> None:
    assert read_list(("a, b,", "c")) == ["a", "b", "c"]
