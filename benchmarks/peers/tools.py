"""The tools that `--tools` can name."""

import argparse

from peers.guidellm import Guidellm
from peers.nvidia_aiperf import NvidiaAiperf
from peers.ours import Ours
from peers.peer import Peer
from peers.vllm import Vllm

TOOLS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Ours(),
        Ours(name="ours-user", timestamps="user", how="the same with `--timestamps user`"),
        Ours(name="ours-one-core", worker_pinned=False, how="the same, all processes on one core, as the others"),
        NvidiaAiperf(),
        Guidellm(),
        Vllm(),
    )
}
OURS = "ours"


def tools_named(text: str) -> list[Peer]:
    """The tools of a comma-separated list; `all` is every one."""
    names = list(TOOLS) if text == "all" else text.split(",")
    unknown = [name for name in names if name not in TOOLS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such tool: {', '.join(unknown)}; there are {', '.join(TOOLS)} (or all)")
    return [TOOLS[name] for name in names]
