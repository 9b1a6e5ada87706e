"""What the API's two sides agree on: header names, the JSON of answers and events.

Owns: names and shapes, reading and writing them. Does not own: routes, transport. `docs/api.md` shows them to people.
"""

from enum import StrEnum
from typing import Any

import msgspec

from aiperf.wire.messages import Notice, Progress, RunFinished

TOKEN_HEADER = "X-AIPerf-Token"  # noqa: S105 (a header's name)
"""A header of its own, since the Kubernetes API server's proxy strips `Authorization`."""

SHA256_HEADER = "X-AIPerf-SHA256"
"""Of the content before compression, in hex."""

SIZE_HEADER = "X-AIPerf-Size"
"""Of the content before compression, in bytes."""

OFFSET_HEADER = "Upload-Offset"
"""Where a block of an upload begins, or how much has arrived: in bytes before compression.

Source: draft-ietf-httpbis-resumable-upload, from which the name is taken.
"""

BLOCK_BYTES = 8 << 20
"""The largest block of an upload, before compression; a packed one may be a little larger at worst."""

Told = Progress | Notice | RunFinished
"""What people watching a run are told."""

_TOLD: dict[str, type[Progress] | type[Notice] | type[RunFinished]] = {
    kind.__name__: kind for kind in (Progress, Notice, RunFinished)
}

HEARTBEAT = "Heartbeat"
"""The type of an event that only says: still here."""


class ArtifactInfo(msgspec.Struct, frozen=True):
    """One file that can be fetched. Sizes in bytes."""

    name: str
    """Path within the artifact directory, with forward slashes."""
    size: int
    sha256: str
    compressed_size: int


class UploadInfo(msgspec.Struct, frozen=True):
    """How far an upload has come."""

    name: str
    size: int
    offset: int
    complete: bool


class BeginUpload(msgspec.Struct, frozen=True):
    """Body of `PUT /v1/uploads/{what}`. `name`: of the file, as the user knows it."""

    name: str
    size: int


class CompleteUpload(msgspec.Struct, frozen=True):
    """Body of `POST /v1/uploads/{what}`."""

    sha256: str


class Uploadable(StrEnum):
    """What of the user's machine the run may want."""

    INPUT = "input"
    TOKENIZER = "tokenizer"


def upload_path(what: Uploadable) -> str:
    """Where it is sent to; `/content` behind it gives it to other hosts."""
    return f"/v1/uploads/{what.value}"


class StopOrder(msgspec.Struct, frozen=True):
    """Body of `POST /v1/stop`. `now`: cut what is in flight at once; else give it the grace period."""

    now: bool = False


class ProblemInfo(msgspec.Struct, frozen=True):
    """Body of every answer that is an error."""

    what: str
    hint: str = ""


class Event(msgspec.Struct, frozen=True):
    """One thing told to watchers; numbers rise."""

    number: int
    message: Told


class RunInfo(msgspec.Struct, frozen=True):
    """The run as it stands."""

    run_id: str
    state: str
    """That of the last progress (`starting`, `profiling`, …), `over` at the end."""
    plan: dict[str, Any]
    """Without secrets."""
    progress: Progress | None
    finished: RunFinished | None


def told_to_json(message: Told) -> dict[str, Any]:
    """The message as a JSON object with its type."""
    return {"type": type(message).__name__, **msgspec.structs.asdict(message)}


def told_from_json(fields: dict[str, Any]) -> Told:
    """The message that `told_to_json` was given. Raises: msgspec.ValidationError if it is none."""
    kind = _TOLD.get(str(fields.get("type")))
    if kind is None:
        raise msgspec.ValidationError(f"`{fields.get('type')}` is nothing a watcher is told")
    # Messages are arrays on the wire; their own decoder checks the types of what came as an object here.
    values = [fields[name] for name in kind.__struct_fields__ if name in fields]
    return msgspec.convert([kind.__name__, *values], kind)


def event_to_json(event: Event) -> bytes:
    """One text frame."""
    return msgspec.json.encode({"number": event.number, **told_to_json(event.message)})


def event_from_json(text: str | bytes) -> Event | None:
    """The event of a text frame; None for a heartbeat. Raises: msgspec.DecodeError if it is neither."""
    fields = msgspec.json.decode(text, type=dict[str, Any])
    if fields.get("type") == HEARTBEAT:
        return None
    return Event(msgspec.convert(fields.get("number"), int), told_from_json(fields))


def run_to_json(run: RunInfo) -> bytes:
    return msgspec.json.encode(
        {
            "run_id": run.run_id,
            "state": run.state,
            "plan": run.plan,
            "progress": run.progress and told_to_json(run.progress),
            "finished": run.finished and told_to_json(run.finished),
        }
    )


def run_from_json(text: bytes) -> RunInfo:
    """Raises: msgspec.DecodeError if it is none."""
    fields = msgspec.json.decode(text, type=dict[str, Any])
    progress, finished = (
        told_from_json(told) if isinstance(told := fields.get(name), dict) else None
        for name in ("progress", "finished")
    )
    return RunInfo(
        run_id=str(fields.get("run_id", "")),
        state=str(fields.get("state", "")),
        plan=msgspec.convert(fields.get("plan"), dict[str, Any]),
        progress=progress if isinstance(progress, Progress) else None,
        finished=finished if isinstance(finished, RunFinished) else None,
    )
