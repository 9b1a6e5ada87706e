"""`python -m aiperf` and the `aiperf` script: runs the command and leaves with its exit code."""

import sys

from aiperf.cli import main as cli


def main() -> None:
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
