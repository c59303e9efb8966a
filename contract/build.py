"""Which build this is: its version, its newest rules, and the commit it was made from."""

from __future__ import annotations

import json
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from contract.views import NEWEST_RULES

_PACKAGE = "energy-totals"
UNKNOWN = "unknown"


def version() -> str:
    """Return the version of the installed package."""
    return metadata.version(_PACKAGE)


@lru_cache(maxsize=1)
def commit() -> str:
    """Return the commit: from the clone this runs in, else as the wheel or pip has noted it.

    `unknown` where nobody has.
    """
    root = Path(__file__).parents[1]
    if (root / ".git").exists():
        asked = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
        try:
            said = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True)
        except (OSError, subprocess.SubprocessError):
            return UNKNOWN
        return said.stdout.strip()
    packed = Path(__file__).with_name("commit")
    if packed.exists():
        return packed.read_text(encoding="ascii").strip()
    noted = metadata.distribution(_PACKAGE).read_text("direct_url.json")
    found = json.loads(noted or "{}").get("vcs_info", {}).get("commit_id", UNKNOWN)
    return str(found)


def labels() -> dict[str, str]:
    """Return what the metric `energy_build_info` says about this process."""
    return {"version": version(), "rules_id": NEWEST_RULES, "commit": commit()}
