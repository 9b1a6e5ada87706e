"""Machines that vanish without a word: the kernels find out, between two network namespaces whose link is cut.

Needs root and `ip`; skipped without.
"""

import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from aiperf.wire.curve import make_wire_keys, to_json

LIMIT_S = 30
"""Keepalive gives up after some 10 s; TCP alone would take 15 minutes."""

PEER = """
    import asyncio, signal, sys
    from aiperf.wire.curve import from_json
    from aiperf.wire.ports import Pattern
    from aiperf.wire.zmq_wire import ZmqWire

    async def bound(wire):
        port = wire.bind(Pattern.DIALOGUE, "tcp://10.213.77.1:7777")
        for said in ("met", "met again"):
            while True:
                name, _ = await port.receive()
                if port.send([b"welcome"], name):
                    break
            print(said, flush=True)
            while port.send([b"are you there"], name):
                await asyncio.sleep(0.2)
            print("gone", flush=True)

    async def connected(wire):
        port = wire.connect(Pattern.DIALOGUE, "tcp://10.213.77.1:7777", "worker-0")
        while True:
            port.send([b"hello"])
            await asyncio.sleep(0.5)

    async def main():
        signal.alarm(int(sys.argv[2]))  # of its own accord, whatever becomes of the test
        wire = ZmqWire(from_json(sys.stdin.buffer.readline()))
        await {"bound": bound, "connected": connected}[sys.argv[1]](wire)

    asyncio.run(main())
"""


def ip(*words: str, fails: bool = False) -> bool:
    return subprocess.run(["ip", *words], capture_output=True, check=not fails).returncode == 0


@pytest.fixture
def namespaces():
    """Two namespaces with a link between them, `one` and `two` at its ends."""
    names = [f"aiperf-{os.getpid()}-{number}" for number in (1, 2)]
    if os.geteuid() or not shutil.which("ip") or not ip("netns", "add", names[0], fails=True):
        pytest.skip("network namespaces need root and ip")
    try:
        ip("netns", "add", names[1])
        ip("link", "add", "one", "netns", names[0], "type", "veth", "peer", "name", "two", "netns", names[1])
        for number, (name, end) in enumerate(zip(names, ("one", "two"), strict=True), start=1):
            ip("-n", name, "addr", "add", f"10.213.77.{number}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
        yield names
    finally:
        for name in names:
            ip("netns", "del", name, fails=True)


def test_a_connection_to_a_machine_that_vanished_is_given_up_and_made_anew_when_it_is_back(namespaces):
    peers = []
    keys = to_json(make_wire_keys()) + b"\n"
    try:
        for name, role in zip(namespaces, ("bound", "connected"), strict=True):
            peer = subprocess.Popen(
                ["ip", "netns", "exec", name, sys.executable, "-c", textwrap.dedent(PEER), role, str(3 * LIMIT_S)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            peers.append(peer)
            peer.stdin.write(keys)
            peer.stdin.flush()
        said = peers[0].stdout
        assert said.readline() == b"met\n"
        ip("-n", namespaces[1], "link", "set", "two", "down")
        assert said.readline() == b"gone\n"
        ip("-n", namespaces[1], "link", "set", "two", "up")
        assert said.readline() == b"met again\n"
    finally:
        for peer in peers:
            peer.kill()
            peer.communicate()
