"""Who is measured: how each is started, where its totals go, and how they are read there."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from contract.topics import changelog
from deploy.errors import MissingPart
from deploy.java import find_java

PEERS = Path(__file__).with_name("peers")
#: Built once for each version of what it is built from, beside the program's own caches.
BUILT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "energy-bench"


class Run(NamedTuple):
    """What one run of a contender works on; `group` is new for each."""

    servers: str
    topic: str
    group: str
    directory: Path


class Contender(NamedTuple):
    """Somebody who does the job; `fetching` is in its log once it fetches or a little later."""

    name: str
    command: Callable[[Run], list[str]]
    output_topic: Callable[[Run], str]
    fetching: str
    key_of: Callable[[str], bytes]
    total_of: Callable[[bytes], int]
    #: Whether it makes its output topic itself.
    makes_topic: bool = True


def _of_ours(value: bytes) -> int:
    return int(value.split(b" ")[2])


OURS = Contender(
    "ours",
    lambda run: [sys.executable, "-m", "stream_app"],
    lambda run: changelog(1).name,
    "working on",
    str.encode,
    _of_ours,
)


def _streams(name: str, guarantee: str) -> Contender:
    def command(run: Run) -> list[str]:
        libs = built_java()
        options = ["-Xmx2g", "-XX:+UseParallelGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        arguments = [run.servers, run.topic, run.group, guarantee, str(run.directory)]
        return [find_java(), *options, "-cp", f"{libs}/*", "StreamsTotals", *arguments]

    return Contender(
        name,
        command,
        lambda run: f"{run.group}-totals-changelog",
        "fetching",
        str.encode,
        lambda value: int(struct.unpack(">d", value)[0]),
    )


STREAMS_EOS = _streams("kafka-streams-eos", "exactly_once_v2")
STREAMS_ALO = _streams("kafka-streams-alo", "at_least_once")
LOOP = Contender(
    "confluent-loop",
    lambda run: [
        sys.executable,
        str(PEERS / "confluent_loop.py"),
        run.servers,
        run.topic,
        run.group,
        f"{run.group}-totals",
    ],
    lambda run: f"{run.group}-totals",
    "fetching",
    str.encode,
    int,
    makes_topic=False,
)
PEERS_BY_NAME = {c.name: c for c in (STREAMS_EOS, STREAMS_ALO, LOOP)}


def built_java() -> Path:
    """Build the Java peer unless it is built; returns where its jars are. Raises: MissingPart."""
    sources = [PEERS / "pom.xml", *PEERS.glob("src/main/java/*.java")]
    target = BUILT / f"java-{_age(sources)}"
    if not (target / "peers.jar").exists():
        if shutil.which("mvn") is None:
            raise MissingPart("no mvn on PATH: install Maven (Debian: apt install maven)")
        pom = str(PEERS / "pom.xml")
        _run(["mvn", "-q", "-B", "-ntp", "-Dstyle.color=never", "-f", pom, f"-Dout={target}"])
        for jar in target.glob("libs/*.jar"):
            jar.replace(target / jar.name)
    return target


def _age(sources: list[Path]) -> str:
    """Name what a build was made from."""
    content = b"".join(path.read_bytes() for path in sorted(sources))
    return hashlib.sha256(content).hexdigest()[:12]


def _run(command: list[str]) -> None:
    print("building a peer:", " ".join(command[:6]), "...", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPart(f"{command[0]} failed: {(done.stdout + done.stderr).strip()[-600:]}")
