"""Who may take part in a run: the run's key pair on the wire, and the gate that knows no other.

Owns: the keys, their file, the judgement on a peer that asks to come in. Does not own: which sockets ask for it
(`zmq_wire`), where the file lies.

One pair serves the whole run, binders and connectors alike (CurveZMQ: traffic is encrypted and both ends prove that
they hold the secret). So a connector trusts none but a binder of its run, and the gate lets in none but holders of the
same pair. What one service of a run may do, every other may do too: they are one program under one owner.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import zmq
from zmq.utils import z85

from aiperf.errors import InfrastructureError

ZAP_ADDRESS = "inproc://zeromq.zap.01"
"""Where libzmq asks about a peer. Source: ZeroMQ RFC 27."""

ZAP_DOMAIN = b"aiperf"
"""A name for the gate; with one, libzmq refuses peers when there is no gate (`ZMQ_ZAP_ENFORCE_DOMAIN`)."""

_CREDENTIALS = 6
"""Where in the question the peer's public key stands, behind version, request id, domain, address, identity and
mechanism. Source: ZeroMQ RFC 27."""


@dataclass(frozen=True, slots=True)
class WireKeys:
    """A CURVE key pair, in the printable form that ZeroMQ uses (Z85)."""

    public: str
    secret: str = field(repr=False)


def make_wire_keys() -> WireKeys:
    """A fresh pair."""
    public, secret = zmq.curve_keypair()
    return WireKeys(public.decode(), secret.decode())


def to_json(keys: WireKeys) -> bytes:
    """The pair as its file holds it. Secret."""
    return msgspec.json.encode(keys)


def from_json(data: bytes) -> WireKeys:
    """The pair of a file. Raises: InfrastructureError if it holds none; what it does hold is not told."""
    try:
        keys = msgspec.json.decode(data, type=WireKeys)
        if zmq.curve_public(keys.secret.encode()) == keys.public.encode():
            return keys
    except (msgspec.MsgspecError, zmq.ZMQError, ValueError):
        pass  # told below, without the text: it may be a secret that is nearly right
    raise InfrastructureError("the file with the keys of the wire holds no pair of keys")


def secure(socket: "zmq.Socket[bytes]", keys: WireKeys, *, binds: bool) -> None:
    """Makes the socket speak to holders of `keys` only. To be called before it binds or connects."""
    socket.curve_secretkey = keys.secret.encode()
    socket.curve_publickey = keys.public.encode()
    if binds:
        socket.curve_server = 1
        socket.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    else:
        socket.curve_serverkey = keys.public.encode()


def judge(question: Sequence[bytes], keys: WireKeys) -> list[bytes]:
    """The answer to libzmq's question whether a peer may come in: only with the run's own key."""
    version, request_id, *_ = question
    is_ours = question[_CREDENTIALS:] == [z85.decode(keys.public)]
    status = (b"200", b"OK") if is_ours else (b"400", b"not a member of this run")
    return [version, request_id, *status, b"", b""]
