"""Builds wheel and sdist from what git tracks, with the commit noted in both; fetches nothing.

`make dist`, or `python tools/make_dist.py DIRECTORY`. The wheel is built from the sdist, so what
the sdist lacks is missed at once.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def git(*arguments: str) -> str:
    """Ask git in the clone."""
    asked = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


def copy_tracked(target: Path) -> None:
    """Copy the files that git tracks, as they are now: nothing else gets into a release."""
    for name in git("ls-files", "-z").split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def main(outdir: Path) -> None:
    """Build both into the directory."""
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary)
        copy_tracked(source)
        (source / "contract" / "commit").write_text(git("rev-parse", "--short=12", "HEAD"))
        # What builds it is in the lock: an environment of its own would be fetched.
        build = [
            sys.executable,
            "-m",
            "build",
            "--no-isolation",
            "--outdir",
            str(outdir.absolute()),
        ]
        subprocess.run([*build, str(source)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist"))
