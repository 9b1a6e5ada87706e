"""Installs the tools that aiperf is compared with, each into an environment of its own in `.cache/peers`.

    python benchmarks/install_peers.py [NAME,NAME...]

The benchmarks do the same for the tools that they are asked for (`--tools`); this is to have the wait over with. vLLM
brings all of torch: some 10 GB. Removing `.cache/peers` removes everything.
"""

import argparse

from peers.environment import installed
from peers.tools import TOOLS, tools_named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tools", nargs="?", type=tools_named, default=list(TOOLS.values()))
    for tool in parser.parse_args().tools:
        installed(tool.name, tool.requirements)


if __name__ == "__main__":
    main()
