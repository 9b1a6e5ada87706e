"""An input file that is fetched from the web.

Owns: the download. Does not own: what is in the file (`input_file`), when that happens.
"""

import shutil
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from aiperf.errors import PlanError, Problem

ATTEMPTS = 3
PAUSE_S = 1.0
SILENCE_LIMIT_S = 60.0

_MENDED_BY_TIME = frozenset({408, 429, 500, 502, 503, 504})


def fetch_remote_file(url: str, folder: Path) -> Path:
    """Where the file is now. A proxy of the environment (`https_proxy`) is used.

    Raises: PlanError if it cannot be had, after several attempts where another may help; OSError (the disk).
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / (unquote(PurePosixPath(urlsplit(url).path).name).replace("/", "_") or "input.jsonl")
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(url, timeout=SILENCE_LIMIT_S) as response, target.open("wb") as out:  # noqa: S310 (https only: the Plan's check)
                shutil.copyfileobj(response, out, 1 << 20)
            return target
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            if error.code not in _MENDED_BY_TIME:
                break
        except urllib.error.URLError as error:
            reason = str(error.reason)
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                break
        except TimeoutError:
            reason = f"nothing came for {SILENCE_LIMIT_S:g} s"
        if attempt + 1 < ATTEMPTS:
            time.sleep(PAUSE_S)
    raise PlanError(Problem(f"{url} cannot be fetched: {reason}", "--input-file", "Check the address."))
