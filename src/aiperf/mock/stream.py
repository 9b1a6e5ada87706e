"""A request in service: what is sent next, and the stamps of what was sent.

Owns: that state, and the row of the truth log it becomes. Does not own: the heap, the sockets (`server`).
"""

from array import array
from collections.abc import Callable, Sequence

from aiperf.mock.connection import Connection
from aiperf.mock.responder import Decision, Received
from aiperf.mock.truth import Truth

OWN_INSTANT = b"@" * 16
"""In a frame with the account of all writes: stands for the instant of its own, which is only known when it leaves."""


class Stream:
    """A request in service, or waiting for a slot."""

    __slots__ = (
        "answer",
        "connection",
        "decision",
        "filled",
        "holds_slot",
        "index",
        "number",
        "offsets_ns",
        "queued_before",
        "received",
        "stamps_ns",
        "start_ns",
    )

    def __init__(
        self,
        connection: Connection,
        received: Received,
        decision: Decision,
        number: int,
        *,
        logged: bool,
        gives_account: bool = False,
    ) -> None:
        self.connection: Connection | None = connection
        """None when it is over, so that what is left of it in the heap is dropped."""
        self.received = received
        self.decision = decision
        self.answer = decision.answer
        fill = self.answer.fill
        self.filled = fill(decision.prompt_tokens, b"") if fill is not None and not gives_account else b""
        """The frame that reports usage; empty if there is none, or if it is only known when it leaves."""
        self.number = number
        self.index = 0
        """The next write."""
        self.start_ns = -1
        self.offsets_ns: Sequence[int] = ()
        self.holds_slot = False
        self.stamps_ns = array("q") if logged or gives_account else None
        """Before and after each send, in turn."""
        self.queued_before = connection.queued_writes

    def with_account(self, clock: Callable[[], int]) -> bytes:
        """The frame that reports usage, with the instants of all writes before it and its own, which is now."""
        fill, stamps_ns, received_ns = self.answer.fill, self.stamps_ns, self.received.stamp_ns
        if fill is None or stamps_ns is None:
            return b""
        earlier = b"".join(b"%d," % (sent_ns - received_ns) for sent_ns in stamps_ns[::2])
        before, _, after = fill(self.decision.prompt_tokens, earlier + OWN_INSTANT).partition(OWN_INSTANT)
        return b"%b%*d%b" % (before, len(OWN_INSTANT), clock() - received_ns, after)

    def truth(self, ending: str, process: int) -> Truth:
        """The row of the log. Call it before `connection` is taken away."""
        stamps = self.stamps_ns.tolist() if self.stamps_ns else []
        sent_ns, after_ns = stamps[::2], stamps[1::2]
        queued_count = self.connection.queued_writes - self.queued_before if self.connection else 0
        name = self.received.headers.get(b"x-request-id", b"").decode("latin-1")
        return Truth(
            request_id=name or f"#{process}-{self.number}",
            received_ns=self.received.stamp_ns,
            kernel_stamp=self.received.kernel_stamp,
            started_ns=self.start_ns,
            status=self.answer.status,
            fault=self.answer.fault,
            ending=ending,
            prompt_tokens=self.decision.prompt_tokens,
            tokens=self.answer.tokens,
            due_ns=[self.start_ns + offset for offset in self.offsets_ns[: len(sent_ns)]],
            sent_ns=sent_ns,
            after_ns=after_ns,
            queued_writes=queued_count,
        )
