"""``python -m proxy`` and the command ``bearer-proxy``."""

import sys

from proxy import cli


def main() -> int:
    """Run the command that the process was started with; return its exit code."""
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
