"""What peers need that is not in our environment: built once, kept in the user's cache directory.

A build is named for what it is made from, so a new version is a new build beside the old one.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from local_stack.errors import MissingPart

PEERS = Path(__file__).with_name("peers")
BUILT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "energy-bench"
QUIX_LOCK = PEERS / "quix.lock"


def built_java() -> Path:
    """Build the Java peer unless it is built; returns where its jars are. Raises: MissingPart."""
    sources = [PEERS / "pom.xml", *PEERS.glob("src/main/java/*.java")]
    target = BUILT / f"java-{age(sources)}"
    if not (target / "peers.jar").exists():
        if shutil.which("mvn") is None:
            raise MissingPart("no mvn on PATH: install Maven (Debian: apt install maven)")
        pom = str(PEERS / "pom.xml")
        _run(["mvn", "-q", "-B", "-ntp", "-Dstyle.color=never", "-f", pom, f"-Dout={target}"])
        for jar in target.glob("libs/*.jar"):
            jar.replace(target / jar.name)
    return target


def built_quix() -> Path:
    """Install Quix Streams: it wants another confluent-kafka and another pydantic than ours."""
    return built_python("quix", QUIX_LOCK)


def built_python(name: str, lock: Path) -> Path:
    """Install a lock file in an environment of its own, unless it is there; returns its Python.

    Raises: MissingPart.
    """
    target = BUILT / f"{name}-{sys.version_info.major}.{sys.version_info.minor}-{age([lock])}"
    python = target / "bin" / "python"
    installed = target / "installed"
    if not (installed.exists() and python.exists()):
        _run([sys.executable, "-m", "venv", "--clear", str(target)])
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        _run([*pip, "--require-hashes", "-r", str(lock)])
        installed.touch()
    return python


def quix_version() -> str:
    """Return the version that is pinned."""
    pinned = re.search(r"^quixstreams==(\S+)", QUIX_LOCK.read_text(), re.MULTILINE)
    return pinned.group(1) if pinned else "unknown"


def age(sources: list[Path]) -> str:
    """Name what a build was made from."""
    content = b"".join(path.read_bytes() for path in sorted(sources))
    return hashlib.sha256(content).hexdigest()[:12]


def _run(command: list[str]) -> None:
    print("building a peer:", " ".join(command[:6]), "...", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPart(f"{command[0]} failed: {(done.stdout + done.stderr).strip()[-600:]}")
