"""Tokenizers: which one counts this run's tokens, and the counting.

Owns: finding a tokenizer (local file, hub, built-in) and counting, encoding and decoding with it. Does not own: talking
to the hub (`hub`), making prompts of a length (`synthetic`), what the server counts.

Tokens of a text are counted without the special tokens a tokenizer may put around it (`[CLS]`, `<s>`), and without a
chat template: this is the length of the text itself. The native library counts a batch on all cores unless
TOKENIZERS_PARALLELISM=false; a process that forks must do so before its first count.
"""

import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from aiperf.dataset import hub
from aiperf.errors import PlanError, Problem
from aiperf.plan.plan import Plan

BUILTIN = "builtin"

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_BARE_REPOSITORIES = frozenset({"gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2"})
"""The hub's text generators from before it had namespaces. Any other model name without one is a server's own alias
(`mock`, `my-model`), so the hub is not asked for it."""


class Tokenizer(Protocol):
    """Counts tokens. Special tokens around a text are never counted."""

    name: str
    """For people: `builtin`, a repository on the hub, a path."""
    source: str
    """`open_tokenizer(source)` gives the same tokenizer in another process of this machine, without network."""
    vocabulary_size: int

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has. Order: as the texts."""
        ...

    def encode(self, text: str) -> list[int]:
        """The token ids of the text."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the token ids; encoding it may give other ids."""
        ...


class TokenizerError(Exception):
    """There is no such tokenizer; the text is the reason, for the user."""


class FileTokenizer:
    """A tokenizer from the content of a `tokenizer.json`."""

    def __init__(self, content: str, *, name: str, source: str) -> None:
        """Raises: TokenizerError if the content is no tokenizer."""
        import tokenizers  # a large native library, and this module is imported by services that never count

        try:
            self._rules = tokenizers.Tokenizer.from_str(content)
        except Exception as error:  # noqa: BLE001 the border: the native library raises nothing more precise
            raise TokenizerError(f"{source} is no tokenizer file ({error})") from None
        # Files may ask for a cut at the model's length or for filling up to it: both would falsify every count.
        self._rules.no_truncation()
        self._rules.no_padding()
        self.name = name
        self.source = source
        self.vocabulary_size: int = self._rules.get_vocab_size()

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(encoding) for encoding in self._rules.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._rules.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._rules.decode(list(ids), skip_special_tokens=True)
        return text


def load_tokenizer(plan: Plan, warn: Callable[[str], None]) -> Tokenizer:
    """The tokenizer of the run: the one asked for, else the first model's own, else `builtin` with a warning.

    Raises: PlanError if the one asked for cannot be had.
    """
    asked, revision = plan.tokenizer.tokenizer, plan.tokenizer.tokenizer_revision
    if asked is not None:
        try:
            return _find(asked, revision, ask_hub=True)
        except TokenizerError as reason:
            hint = "Give a hub repository, a tokenizer.json (or a folder with one), or `builtin`."
            raise PlanError(Problem(f"there is no tokenizer {asked!r}: {reason}.", "--tokenizer", hint)) from None
    model = plan.endpoint.models[0]
    if len(set(plan.endpoint.models)) > 1:
        warn(f"Tokens of all models are counted with the tokenizer of the first, {model}; --tokenizer chooses another.")
    try:
        return _find(model, revision, ask_hub="/" in model or model in _BARE_REPOSITORIES)
    except TokenizerError as reason:
        warn(
            f"Tokens are counted with the built-in tokenizer, not with that of {model}: {reason}. "
            "Lengths and token rates are those of the built-in one; --tokenizer NAME or PATH chooses another."
        )
        return open_tokenizer(BUILTIN)


def asks_hub(plan: Plan) -> bool:
    """Whether the run may ask the hub for its tokenizer, as far as names tell."""
    asked = plan.tokenizer.tokenizer
    if asked is not None:
        return asked != BUILTIN and _REPOSITORY.fullmatch(asked) is not None
    model = plan.endpoint.models[0]
    return _REPOSITORY.fullmatch(model) is not None and ("/" in model or model in _BARE_REPOSITORIES)


def open_tokenizer(source: str) -> Tokenizer:
    """The tokenizer at a source: `builtin`, a tokenizer.json, or a folder with one. No network.

    Raises: TokenizerError.
    """
    if source == BUILTIN:
        content = files("aiperf.dataset").joinpath("builtin_tokenizer.json").read_text(encoding="utf-8")
        return FileTokenizer(content, name=BUILTIN, source=BUILTIN)
    return _open_file(Path(source), name=source)


def _find(name: str, revision: str, *, ask_hub: bool) -> Tokenizer:
    if name == BUILTIN:
        return open_tokenizer(BUILTIN)
    try:
        local = Path(name).expanduser()
        if local.is_file() or (local / hub.FILE_NAME).is_file():
            return _open_file(local, name=name)
        is_folder = local.is_dir()
    except (OSError, RuntimeError):  # longer than a file's name may be; a `~` that is nobody's
        is_folder = False
    if not _REPOSITORY.fullmatch(name):
        lacks = f"this folder has no {hub.FILE_NAME}" if is_folder else "there is no such file or folder here"
        raise TokenizerError(f"{lacks}, and it can be no hub repository")
    label = name if revision == "main" else f"{name}@{revision}"
    cached = hub.cached_file(name, revision)
    if cached is not None:
        return _open_file(cached, name=label)
    if not ask_hub:
        raise TokenizerError("a name without a namespace is not looked up on the hub")
    try:
        return _open_file(hub.downloaded_file(name, revision), name=label)
    except hub.HubError as error:
        raise TokenizerError(str(error)) from None


def _open_file(path: Path, *, name: str) -> Tokenizer:
    file = path / hub.FILE_NAME if path.is_dir() else path
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{file} cannot be read ({error})") from None
    return FileTokenizer(content, name=name, source=str(file.absolute()))
