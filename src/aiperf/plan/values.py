"""The forms in which single values are written: URLs, headers, body fields, lists.

Owns: text → value for what pydantic does not know, with a one-line reason when it cannot be read. Does not own: which
field has which form (`plan`, `fields`), where the text came from (`layers`).

A reason never quotes a header's value, a key or a URL's credentials: it is shown on screens and kept in logs.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token. Source: RFC 9110, section 5.6.2."""

_OWN_HEADERS = frozenset({"content-length", "transfer-encoding", "x-request-id", "x-correlation-id"})
"""Said twice, the first two break the request, and the others the join with the server's log."""

_FIXED_HEADERS = frozenset({"host", "connection", "content-type", "accept", "authorization", "user-agent"})

_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Control characters but the tab: they would end the header, or the request. Source: RFC 9110, section 5.5."""

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^/:?#@\s]+):\d+(/.*)?")


def normalise_url(text: str) -> str:
    """The base URL with its scheme and without a trailing slash: `localhost:8000/` → `http://localhost:8000`.

    Raises: ValueError with the reason if it is no http(s) URL of a host that paths can be appended to.
    """
    if "@" in re.split(r"[/?#]", text.partition("://")[2] or text, maxsplit=1)[0]:
        raise ValueError("credentials in a URL would end up in logs and artifacts: use --api-key or --header")
    if _HOST_AND_PORT.fullmatch(text):
        text = f"http://{text}"
    if "://" not in text:
        raise ValueError(f"'{text}' has no scheme: write http://{text} or https://{text}")
    parts = _split(text)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"'{text}': the scheme must be http or https, not {parts.scheme or 'nothing'}")
    if parts.query or parts.fragment:
        raise ValueError(f"'{text}': a base URL ends with its path; leave out what follows the ? or #")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _split(url: str) -> SplitResult:
    """The URL's parts; its host and port are sound. Raises: ValueError with the reason."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"'{url}' is not a URL: {error}") from error
    if not parts.hostname or re.search(r"[\s\x00-\x1f]", url):
        raise ValueError(f"'{url}' has no proper host name")
    if port == 0:
        raise ValueError(f"'{url}': 0 is not a port one can connect to")
    return parts


def normalise_path(text: str) -> str:
    """The path with its leading slash. Raises: ValueError if it is a whole URL or holds white space."""
    if "://" in text:
        raise ValueError(f"'{text}' is a whole URL: give its host by --url and only its path here")
    if re.search(r"\s", text):
        raise ValueError(f"'{text}' holds white space")
    return "/" + text.lstrip("/")


def file_name_part(text: str) -> str:
    """The text itself. Raises: ValueError if it cannot be part of a file's name."""
    if "/" in text or "\x00" in text:
        raise ValueError(f"'{text}' is not part of a file name: give folders by --artifact-dir")
    return text


def sendable_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers themselves. Raises: ValueError if one could not be sent as it is; the value is not quoted."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"'{name}' is not a header name")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"aiperf itself writes the header {name}, for each request anew")
        if _UNSENDABLE.search(value):
            raise ValueError(f"the value of header {name} holds a line break or another control character")
        if not value.isascii():
            raise ValueError(f"the value of header {name} holds a character outside ASCII")
    return headers


def session_header_name(name: str) -> str:
    """The name itself. Raises: ValueError if a header of this name cannot carry a conversation's id."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"'{name}' is not a header name")
    if name.lower() in _OWN_HEADERS | _FIXED_HEADERS:
        raise ValueError(f"aiperf itself writes the header {name}")
    return name


def sendable_key(key: SecretStr) -> SecretStr:
    """The API key itself. Raises: ValueError if it could not be sent in a header; the key is not quoted."""
    text = key.get_secret_value()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("the key holds white space, a control character or one outside ASCII")
    return key


def json_fields(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body fields themselves. Raises: ValueError if one is nothing JSON can say, such as a date in a YAML file."""
    for key, value in body.items():
        try:
            unchanged = json.loads(json.dumps(value, allow_nan=False)) == value
        except (TypeError, ValueError):
            unchanged = False
        if not unchanged:
            raise ValueError(f"the value of '{key}' cannot be written as JSON: put it in quotes if it is meant as text")
    return body


def read_headers(texts: tuple[str, ...]) -> dict[str, str]:
    """All headers given, each as `NAME:VALUE` or as a JSON object of them; the later one wins, whatever its case.

    Raises: ValueError with the reason; no value is quoted.
    """
    headers: dict[str, str] = {}
    for text in texts:
        if text.startswith("{"):
            pairs = _json_object(text, "a JSON object of headers")
        else:
            name, colon, value = text.partition(":")
            if not colon:
                raise ValueError("a header is written NAME:VALUE, and one of these has no colon")
            pairs = {name.strip(): value.strip()}
        for name, value in pairs.items():
            if not isinstance(value, str):
                raise ValueError(f"the value of header {name} is not text: put it in quotes")
            headers = {known: kept for known, kept in headers.items() if known.lower() != name.lower()}
            headers[name] = value
    return headers


def read_body_fields(texts: tuple[str, ...]) -> dict[str, Any]:
    """All body fields given, each as `KEY:VALUE` or as a JSON object of them; the later one wins.

    A value that is JSON is taken as such (`temperature:0.5`, `stop:["a"]`), any other as text (`user:anna`).
    Raises: ValueError with the reason.
    """
    body: dict[str, Any] = {}
    for text in texts:
        if text.startswith("{"):
            body |= _json_object(text, "a JSON object")
            continue
        key, colon, value = text.partition(":")
        if not colon or not key.strip():
            raise ValueError(f"'{text}' is not written KEY:VALUE, nor is it a JSON object")
        body[key.strip()] = _json_or_text(value.strip())
    return body


def read_pairs(texts: tuple[str, ...], *, names_alone: bool = False) -> dict[str, str]:
    """All pairs given, each as `KEY=VALUE` or as a JSON object of them; the later one wins.

    `names_alone`: `KEY` is a pair with an empty value.

    Raises: ValueError with the reason.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        if text.startswith("{"):
            found = _json_object(text, "a JSON object of pairs")
            if not all(isinstance(value, str) for value in found.values()):
                raise ValueError("each value of a pair is text: put it in quotes")
            pairs |= found
            continue
        key, equals, value = text.partition("=")
        if not equals and not names_alone:
            raise ValueError(f"'{text}' is not written KEY=VALUE")
        pairs[key.strip()] = value.strip()
    return pairs


def read_list(texts: tuple[str, ...]) -> list[str]:
    """All members, comma-separated in each text, without white space around them."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _json_object(text: str, expected: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ValueError(f"this starts like {expected}, but is not JSON") from error
    if not isinstance(value, dict):
        raise ValueError(f"this is not {expected}")
    return value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _refuse_constant(name: str) -> Any:
    """NaN and Infinity are Python's, not JSON's: no server could read them back."""
    raise ValueError(name)
