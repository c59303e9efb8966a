"""Keeps beside the jars what makes the local broker start in about half of the time.

`make` runs it after the jars have been fetched, as `python -m local_stack.broker.class_archive`;
where all is there, nothing is done. It starts a broker in a temporary directory and lets the JVM
write, at its end, the classes it loaded; and it keeps what Kafka's storage tool wrote of the
features of a new cluster. Both only save time: without them, or with an archive of another Java, a
broker starts all the same.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from local_stack.broker.jars import jar_directory
from local_stack.broker.java import BASE_ARCHIVE, CLASS_ARCHIVE, find_java
from local_stack.broker.process import LocalBroker
from local_stack.broker.properties import DATA_DIRECTORY
from local_stack.broker.storage import FEATURES
from operations.errors import OperationError


def write_class_archive(libs: Path) -> None:
    """Replace what is kept beside the jars. Takes about 8 seconds. Raises: OperationError."""
    for kept in (CLASS_ARCHIVE, FEATURES):
        (libs / kept).unlink(missing_ok=True)
    _write_base_archive(find_java(), libs / BASE_ARCHIVE)
    with tempfile.TemporaryDirectory() as directory:
        new = Path(directory, CLASS_ARCHIVE)
        broker = LocalBroker(
            Path(directory, "broker"), 0, libs=libs, jvm_options=[f"-XX:ArchiveClassesAtExit={new}"]
        )
        broker.start()
        broker.wait_ready(timeout_seconds=60)
        broker.stop(timeout_seconds=60)
        for made in (new, broker.data_dir / DATA_DIRECTORY / FEATURES):
            # Beside its target first: a broker that starts now sees the whole file or none.
            beside = libs / f"{made.name}.new"
            beside.write_bytes(made.read_bytes())
            beside.replace(libs / made.name)


def _write_base_archive(java: str, archive: Path) -> None:
    """Write the archive of Java's own classes, where this Java does not bring one."""
    archive.unlink(missing_ok=True)
    if any(Path(java).resolve().parents[1].glob("lib/server/classes*.jsa")):
        return
    command = [java, "-Xshare:dump", "-XX:+UseSerialGC", f"-XX:SharedArchiveFile={archive}"]
    subprocess.run(command, capture_output=True, check=True, timeout=120)


if __name__ == "__main__":
    try:
        if not all((jar_directory() / kept).exists() for kept in (CLASS_ARCHIVE, FEATURES)):
            write_class_archive(jar_directory())
    except (OperationError, OSError, subprocess.SubprocessError) as error:
        print(f"no class archive, the broker starts a second slower: {error}", file=sys.stderr)
