"""The control bus: every service has a seat, the system controller is the switchboard.

Owns: envelopes (who to, who from) and forwarding. Does not own: what the messages mean.

A seat sends `[to, payload]` to the hub; the hub hands what is for itself to the controller and passes the rest on as
`[from, payload]`. So any service can talk to any other without a socket between each pair.
"""

from aiperf.wire.messages import AnyMessage, Message, decode, encode
from aiperf.wire.ports import Port

CONTROLLER = "system-controller"
OPERATOR = "operator"


class Seat:
    """One service's place on the bus."""

    def __init__(self, port: Port, name: str) -> None:
        self.name = name
        self._port = port

    def send(self, message: Message, to: str = CONTROLLER) -> bool:
        """Hands the message over; False if the hub cannot be reached."""
        return self._port.send([to.encode(), encode(message)])

    async def receive(self) -> tuple[str, AnyMessage]:
        """The next message for this seat and who sent it. Raises: ValueError if it is none of ours."""
        _, (sender, payload) = await self._port.receive()
        return sender.decode(), decode(payload)


class Hub:
    """The controller's side of the bus."""

    def __init__(self, port: Port) -> None:
        self._port = port

    def send(self, message: Message, to: str) -> bool:
        """Hands the message over; False if nobody of that name is connected."""
        return self._port.send([CONTROLLER.encode(), encode(message)], to)

    async def receive(self) -> tuple[str, AnyMessage]:
        """The next message for the controller; what is for others is passed on meanwhile."""
        while True:
            sender, (to, payload) = await self._port.receive()
            if to == CONTROLLER.encode():
                return sender, decode(payload)
            self._port.send([sender.encode(), payload], to.decode())
