"""Size of a fresh install, and that nothing in it was compiled; beside it what other tools take.

    python benchmarks/install_size.py [--tools ours|all|...]

Makes a virtual environment in a temporary directory and installs the checkout there, dependencies from wheels alone:
pip refuses what would have to be built. Sizes are those of files on disk, as `du` counts them, pip itself left out. Of
other tools it is the environment they run from here (`install_peers.py`), counted likewise.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from peers.environment import environment
from peers.ours import Ours
from peers.tools import TOOLS, tools_named
from tables import Table, ratio
from tool_run import made_ready

REPOSITORY = Path(__file__).parent.parent
LIMIT_MB = 250
BYTES_PER_MB = 1e6
BLOCK_BYTES = 512
"""Unit of `st_blocks` (POSIX)."""
NOT_COUNTED = ("pip", "setuptools", "wheel", "_distutils_hack", "distutils-precedence.pth")
"""What a new environment comes with."""


def disk_bytes(path: Path) -> int:
    return sum(file.lstat().st_blocks * BLOCK_BYTES for file in [path, *path.rglob("*")])


def sizes_of(environment: Path) -> Counter[str]:
    """Bytes on disk of each package in a virtual environment."""
    (packages,) = environment.glob("lib/python*/site-packages")
    return Counter(
        {
            path.name: disk_bytes(path)
            for path in packages.iterdir()
            if path.name.partition("-")[0] not in NOT_COUNTED and path.name not in NOT_COUNTED
        }
    )


def fresh_install() -> Counter[str]:
    """Sizes of the packages that the checkout brings, installed now."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin" / "python"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        started = time.perf_counter()
        subprocess.run([*pip, "--only-binary", ":all:", str(REPOSITORY)], check=True)
        print(f"installed in {time.perf_counter() - started:.0f} s")
        subprocess.run([str(python), "-m", "aiperf", "--version"], check=True, stdout=subprocess.DEVNULL)
        return sizes_of(Path(folder))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", type=tools_named, default=[TOOLS["ours"]], help=", ".join(TOOLS))
    options = parser.parse_args()
    ours = fresh_install()
    ours_mb = sum(ours.values()) / BYTES_PER_MB
    print(f"aiperf with all dependencies: {ours_mb:.0f} MB on disk (limit {LIMIT_MB} MB)")
    for name, size in ours.most_common(10):
        print(f"  {size / BYTES_PER_MB:6.1f} MB  {name}")
    table = Table(["tool", "MB on disk", "times ours", "of what"])
    table.add(["ours", f"{ours_mb:,.0f}", "1", "this checkout"])
    others = [tool for tool in options.tools if not isinstance(tool, Ours)]
    made_ready(others)
    for tool in others:
        size_mb = sum(sizes_of(environment(tool.name)).values()) / BYTES_PER_MB
        table.add([tool.name, f"{size_mb:,.0f}", ratio(size_mb, ours_mb), ", ".join(tool.requirements)])
    print(f"\n{table}")
    return int(ours_mb > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
