"""What pure nouns of the controller's side return: a message and whom it is for."""

from typing import NamedTuple

from aiperf.wire.messages import Message


class Tell(NamedTuple):
    """Send `message` to the service (or the operator) of that name."""

    to: str
    message: Message
