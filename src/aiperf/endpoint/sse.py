"""Server-sent events out of the bytes of a response, as they come.

Owns: the event stream format: line ends, fields, comments, what is held back until its blank line arrives. Does not
own: what an event's data means (the dialects), when it arrived (`aiperf.record.stream`), reconnecting (`id` and `retry`
serve only that and are read past).

Bytes in, the `data` of finished events out. Data stays bytes: it is JSON, which its decoder checks for UTF-8.
Source: WHATWG HTML, section 9.2.5 and 9.2.6.
"""

from typing import NamedTuple

EVENT_LIMIT_BYTES = 16 * 1024 * 1024
"""No chunk of a model's answer comes near this; a server that sends no blank line must not eat the memory."""

_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """An event with a type of its own, other than `message`."""

    type: str
    data: bytes


class SseParser:
    """One event stream. Any split of its bytes over `feed` calls gives the same events."""

    __slots__ = ("_after_cr", "_fresh", "_held")

    def __init__(self, *, is_fresh: bool = True) -> None:
        """`is_fresh`: nothing of the stream was read before, not even by others."""
        self._held: bytes | bytearray = b""
        """What follows the last blank line, its line ends already LF."""
        self._after_cr = False
        """The bytes so far ended with CR: a LF that comes next belongs to it."""
        self._fresh = is_fresh
        """The stream's first bytes, where a byte order mark may stand, are not past."""

    @property
    def pending(self) -> bytes:
        """The bytes held back: an event whose blank line has not come. At the end the standard discards them."""
        return bytes(self._held)

    def feed(self, data: bytes) -> list[bytes | Event]:
        """The events completed by these bytes: plain `data` for ordinary ones, `Event` for those with a type.

        Raises: ValueError if an event exceeds EVENT_LIMIT_BYTES; the stream is beyond reading then.
        """
        # The shape nearly every server sends: one whole event, one line. Three scans in C instead of the general way.
        if (
            not self._held
            and not self._after_cr
            and data[:6] == b"data: "
            and data[-2:] == b"\n\n"
            and data.find(b"\n") == len(data) - 2
            and b"\r" not in data
            and len(data) < EVENT_LIMIT_BYTES
        ):
            self._fresh = False
            return [data[6:-2]]
        return self._feed_any(data)

    def _feed_any(self, data: bytes) -> list[bytes | Event]:
        if self._fresh:
            data = bytes(self._held) + data
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._held = data
                return []
            data, self._held, self._fresh = data.removeprefix(_BOM), b"", False
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        blocks = self._finished_blocks(data)
        events: list[bytes | Event] = []
        for block in blocks:
            # One `data` line is the usual block.
            event = block[6:] if block[:6] == b"data: " and b"\n" not in block else _event(block)
            if event is not None:
                events.append(event)
        return events

    def _finished_blocks(self, data: bytes) -> list[bytes]:
        """What stands before each blank line; the rest is held. Line ends in `data` are LF."""
        held = self._held
        if held:
            if b"\n" not in data:
                # A long event in many reads: grow one buffer in place, so that the cost stays linear in its length.
                if not isinstance(held, bytearray):
                    held = self._held = bytearray(held)
                held += data
                _check_length(len(held) - held.endswith(b"\n"))
                return []
            data = bytes(held) + data
        *blocks, rest = data.split(b"\n\n")
        if len(data) > EVENT_LIMIT_BYTES:
            _check_length(max(len(rest) - rest.endswith(b"\n"), *map(len, blocks), 0))
        self._held = rest
        return blocks


def _check_length(length_bytes: int) -> None:
    if length_bytes > EVENT_LIMIT_BYTES:
        raise ValueError(f"an event of the stream is longer than {EVENT_LIMIT_BYTES >> 20} MiB")


def _event(block: bytes) -> bytes | Event | None:
    """The event that these lines make; None if they hold no data."""
    data, event_type = [], b""
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"event":
            event_type = value.removeprefix(b" ")
    # By the standard the data buffer gets a LF after each line and an event whose buffer is empty is none.
    if not data:
        return None
    joined = b"\n".join(data)
    if event_type in (b"", b"message"):
        return joined
    return Event(event_type.decode(errors="replace"), joined)
