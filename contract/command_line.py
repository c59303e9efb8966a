"""What `python -m ROOM` takes, the same for each role."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def is_debug(room: str, does: str, example: str, arguments: Sequence[str] | None = None) -> bool:
    """Read the command line; ends with help (0) or for an unknown argument (2)."""
    parser = argparse.ArgumentParser(
        f"python -m {room}",
        description=does,
        epilog=f"Settings are environment variables. Example: {example} python -m {room}",
    )
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return bool(parser.parse_args(arguments).debug)
