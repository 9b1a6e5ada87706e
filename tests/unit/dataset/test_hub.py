import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest
from huggingface_hub import errors

from aiperf.dataset import hub


def answer(monkeypatch: pytest.MonkeyPatch, metadata: Callable[..., Any], download: Callable[..., Any]) -> None:
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", metadata)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)


def failing(error: Exception) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> None:
        raise error

    return call


def bare(kind: type[Exception]) -> Exception:
    """An error of the hub library, made without the response its constructor wants."""
    return kind.__new__(kind)


def test_a_found_file_is_downloaded_at_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answer(
        monkeypatch, lambda url, timeout: asked.append(url), lambda repo, file, revision: f"/{repo}/{file}/{revision}"
    )
    assert hub.downloaded_file("org/model", "v2") == Path("/org/model/tokenizer.json/v2")
    assert [url.split("/", 3)[3] for url in asked] == ["org/model/resolve/v2/tokenizer.json"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (bare(errors.OfflineModeIsEnabled), "HF_HUB_OFFLINE"),
        (bare(errors.GatedRepoError), "gated"),
        (bare(errors.RepositoryNotFoundError), "no such repository"),
        (bare(errors.RevisionNotFoundError), "no revision 'main'"),
        (bare(errors.EntryNotFoundError), "no tokenizer.json"),
        (ConnectionError("no route to host"), "could not be asked (no route to host)"),
        (KeyError("etag"), "could not be asked"),
    ],
)
def test_every_failure_is_a_reason_for_people(error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, failing(error), pytest.fail)
    with pytest.raises(hub.HubError) as caught:
        hub.downloaded_file("org/model", "main")
    assert reason in str(caught.value)


def test_a_silent_hub_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    answer(monkeypatch, lambda url, timeout: released.wait(60), pytest.fail)
    monkeypatch.setattr(hub, "LOOKUP_S", 0.02)
    with pytest.raises(hub.HubError, match=r"did not answer within 0\.02 s"):
        hub.downloaded_file("org/model", "main")
    released.set()


def test_what_the_cache_holds_is_found_without_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    answer(monkeypatch, pytest.fail, pytest.fail)
    commit = "a" * 40
    repository = tmp_path / "models--org--model"
    file = repository / "snapshots" / commit / "tokenizer.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    assert hub.cached_file("org/model", "main") == file
    assert hub.cached_file("org/model", "v2") is None
    assert hub.cached_file("org/other", "main") is None
