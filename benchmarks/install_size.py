"""Size of a fresh install, and that nothing in it was compiled.

    python benchmarks/install_size.py

Makes a virtual environment in a temporary directory and installs the checkout there, dependencies from wheels alone:
pip refuses what would have to be built. Sizes are those of files on disk, as `du` counts them, pip itself left out.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
LIMIT_MB = 250
BYTES_PER_MB = 1e6
BLOCK_BYTES = 512
"""Unit of `st_blocks` (POSIX)."""


def disk_bytes(path: Path) -> int:
    return sum(file.lstat().st_blocks * BLOCK_BYTES for file in [path, *path.rglob("*")])


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin" / "python"
        before = {path.name for path in next(Path(folder).glob("lib/python*/site-packages")).iterdir()}
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        started = time.perf_counter()
        subprocess.run([*pip, "--only-binary", ":all:", str(REPOSITORY)], check=True)
        took_s = time.perf_counter() - started
        packages = next(Path(folder).glob("lib/python*/site-packages"))
        sizes = Counter({path.name: disk_bytes(path) for path in packages.iterdir() if path.name not in before})
        subprocess.run([str(python), "-m", "aiperf", "--version"], check=True, stdout=subprocess.DEVNULL)
    total_mb = sum(sizes.values()) / BYTES_PER_MB
    print(f"installed with all dependencies: {total_mb:.0f} MB on disk, in {took_s:.0f} s (limit {LIMIT_MB} MB)")
    for name, size in sizes.most_common(10):
        print(f"  {size / BYTES_PER_MB:6.1f} MB  {name}")
    return int(total_mb > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
