"""The Hugging Face hub as a source of tokenizer files: the one place that talks to it, and in bounded time.

Owns: the local cache, one look-up of at most LOOKUP_S, the download; what went wrong as one phrase for the user. Does
not own: which names are worth looking up, what to do when there is none (`tokens`).

The hub library retries for half a minute and resolves names without a time limit, hence the look-up of our own ahead of
its download, and the thread with a deadline around both. It imports slowly, hence inside functions.
"""

import queue
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import TypeVar

FILE_NAME = "tokenizer.json"
LOOKUP_S = 5.0
"""An unreachable hub costs a start at most so long."""
DOWNLOAD_S = 120.0
"""A tokenizer is a file of 1 to 20 MB, and by then the hub is known to answer."""

Result = TypeVar("Result")


class HubError(Exception):
    """The hub gives no tokenizer of this name; the text is the reason, for the user."""


def token() -> str | None:
    """What opens gated and private repositories to this user: HF_TOKEN, or what a login has left. No network."""
    from huggingface_hub import get_token

    return get_token()


def cached_file(repository: str, revision: str) -> Path | None:
    """The tokenizer file that an earlier download left in the local cache; None if there is none. No network."""
    from huggingface_hub.constants import HF_HUB_CACHE  # light, unlike the functions of the library

    try:
        if not Path(HF_HUB_CACHE, f"models--{repository.replace('/', '--')}").is_dir():
            return None
    except OSError:  # longer than a file's name may be
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, FILE_NAME, revision=revision)
    return Path(found) if isinstance(found, str) else None


def downloaded_file(repository: str, revision: str) -> Path:
    """The tokenizer file of a repository, fetched into the local cache. Raises: HubError."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        url = hf_hub_url(repository, FILE_NAME, revision=revision)
        _within(LOOKUP_S, lambda: get_hf_file_metadata(url, timeout=LOOKUP_S))
        return Path(_within(DOWNLOAD_S, lambda: hf_hub_download(repository, FILE_NAME, revision=revision)))
    except errors.OfflineModeIsEnabled:
        reason = "the hub may not be asked (HF_HUB_OFFLINE) and the local cache does not have it"
    except errors.GatedRepoError:
        reason = "its repository on the hub is gated: accept its terms there and set HF_TOKEN"
    except errors.RepositoryNotFoundError:
        reason = "the hub has no such repository, or it is private and HF_TOKEN does not open it"
    except errors.RevisionNotFoundError:
        reason = f"its repository on the hub has no revision {revision!r}"
    except errors.EntryNotFoundError:
        reason = f"its repository on the hub has no {FILE_NAME}"
    except TimeoutError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 the border: the library's HTTP client has its own tree of errors, by version
        reason = f"the hub could not be asked ({error})"
    raise HubError(reason)


def _within(seconds: float, call: Callable[[], Result]) -> Result:
    """What the call returns or raises. Raises: TimeoutError if it takes longer; the call is then left to itself."""
    outcomes: queue.SimpleQueue[tuple[Result, None] | tuple[None, Exception]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcomes.put((call(), None))
        except Exception as error:  # noqa: BLE001 the thread's outer edge: handed over, raised by the caller
            outcomes.put((None, error))

    Thread(target=run, name="hub", daemon=True).start()
    try:
        result, error = outcomes.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"the hub did not answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
