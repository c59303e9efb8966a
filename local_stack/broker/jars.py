"""Fetches the jars that the local broker runs on, once for each user.

Reads: jars.lock (coordinates with checksums). Writes: a directory in the user's cache, complete or
not at all. `make jars` and `energy up` run it; jgo knows a mirror from the user's jgo.conf.
`python -m local_stack.broker.jars --lock` finds the coordinates again, after a change of ROOTS;
`--kafka 3.9.1 DIRECTORY` puts another version's jars where ENERGY_BROKER_LIBS may name them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from contract.errors import text_of
from local_stack.errors import MissingPart

LOCK_FILE = Path(__file__).with_name("jars.lock")
VERSION = "4.1.2"
#: What is asked for; all else in jars.lock comes with these.
ROOTS = (
    f"org.apache.kafka:kafka_2.13:{VERSION}",
    # By itself: log4j's own pom manages it to another version.
    f"org.apache.kafka:kafka-clients:{VERSION}",
    # Kafka logs through slf4j 1.7; this binds it to the log4j-core that Kafka brings.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3",
    "org.slf4j:slf4j-api:1.7.36",
)
INSTALL = "install it with: pip install 'energy-totals[local]'"
_AT_ONCE = 8
_TRIES = 3
_TIMEOUT_SECONDS = 30

Say = Callable[[str], None]


class Jar(NamedTuple):
    """One jar: where it is in a Maven repository, and the SHA-256 of its bytes in hex."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """Its file."""
        return f"{self.artifact}-{self.version}.jar"


def jars(lock: Path = LOCK_FILE) -> list[Jar]:
    """Return what is pinned."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    pinned = (line.split(" sha256:") for line in lines if line and not line.startswith("#"))
    found = []
    for coordinates, checksum in pinned:
        group, artifact, version = coordinates.split(":")
        found.append(Jar(group, artifact, version, checksum))
    return found


def jar_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the jars are, or would be: ENERGY_BROKER_LIBS, else in the user's cache."""
    if chosen := environment.get("ENERGY_BROKER_LIBS"):
        return Path(chosen).absolute()
    home = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    # Other jars are another directory: two versions on one class path would be neither.
    digest = hashlib.sha256(LOCK_FILE.read_bytes()).hexdigest()[:12]
    return Path(home, "energy-totals", f"kafka-{digest}")


def fetch(directory: Path, say: Say, *, lock: Path = LOCK_FILE) -> None:
    """Fetch what is not there; nothing is done where all is. Raises: MissingPart."""
    pinned = jars(lock)
    if all((directory / jar.name).exists() for jar in pinned):
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(directory):
        if all((directory / jar.name).exists() for jar in pinned):
            return
        say(f"fetching Apache Kafka, {len(pinned)} jars, into {directory}")
        with tempfile.TemporaryDirectory(dir=directory.parent) as new:
            _fetch_all(pinned, Path(new))
            shutil.rmtree(directory, ignore_errors=True)
            Path(new, "jars").replace(directory)


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch_all(pinned: list[Jar], new: Path) -> None:
    (new / "jars").mkdir()
    context = _context(new / "repository")
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for done in [threads.submit(_fetch_one, context, jar, new / "jars") for jar in pinned]:
            done.result()


def _fetch_one(context: Any, jar: Jar, target: Path) -> None:
    """Fetch and compare one jar. Raises: MissingPart."""
    path = _resolved(context, jar)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != jar.sha256:
        raise MissingPart(
            f"{jar.name} is not what is pinned: its SHA-256 is {found}, not {jar.sha256}"
        )
    path.replace(target / jar.name)


def _resolved(context: Any, jar: Jar) -> Path:
    tries = 0
    while True:
        tries += 1
        try:
            component = context.project(jar.group, jar.artifact).at_version(jar.version)
            path: Path = component.artifact().resolve()
            return path
        except Exception as error:  # jgo lets through what requests and files raise
            if tries == _TRIES:
                raise MissingPart(
                    f"{jar.name} cannot be fetched: {text_of(error)}; is a Maven"
                    " repository reachable (a mirror goes into ~/.config/jgo.conf)?"
                ) from error


def _context(cache: Path) -> Any:
    """Return jgo's way to Maven repositories, with those that the user has set."""
    try:
        from jgo.config import GlobalSettings
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.maven import MavenContext
    except ImportError:
        raise MissingPart(f"jgo, which fetches Apache Kafka, is missing: {INSTALL}") from None
    repositories = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    return MavenContext(repo_cache=cache, remote_repos=repositories, timeout=_TIMEOUT_SECONDS)


def write_lock() -> None:
    """Find what ROOTS need, and write it down with checksums."""
    with tempfile.TemporaryDirectory() as cache:
        lines = [
            f"{coordinates} sha256:{hashlib.sha256(jar.read_bytes()).hexdigest()}"
            for coordinates, jar in _needed(ROOTS, Path(cache)).items()
        ]
    former = LOCK_FILE.read_text(encoding="utf-8").splitlines()
    head = [line for line in former if line.startswith("#")]
    LOCK_FILE.write_text("\n".join([*head, *sorted(lines)]) + "\n", encoding="utf-8")


def fetch_version(version: str, directory: Path) -> None:
    """Fetch the jars of another Kafka, to try it; nothing pins what comes."""
    directory.mkdir(parents=True, exist_ok=True)
    roots = [root.replace(f":{VERSION}", f":{version}") for root in ROOTS]
    with tempfile.TemporaryDirectory() as cache:
        for jar in _needed(roots, Path(cache)).values():
            shutil.copy(jar, directory)


def _needed(roots: Iterable[str], cache: Path) -> dict[str, Path]:
    """Fetch these and all that comes with them: coordinates -> jar."""
    context = _context(cache)
    wanted = [context.create_dependency(root) for root in roots]
    _, nodes = context.resolver.get_dependency_list(wanted)
    return {
        f"{d.groupId}:{d.artifactId}:{d.version}": d.artifact.resolve()
        for d in [*wanted, *(node.dep for node in nodes)]
    }


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["--lock"]:
                write_lock()
            case ["--kafka", version, directory]:
                fetch_version(version, Path(directory))
            case _:
                fetch(jar_directory(), print)
    except MissingPart as missing:
        print(missing, file=sys.stderr)
        raise SystemExit(missing.exit_code) from None
