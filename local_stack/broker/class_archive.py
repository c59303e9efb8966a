"""Writes the class archive that makes the local broker start in about two thirds of the time.

`make` runs it once after the jars have been fetched, as
`python -m local_stack.broker.class_archive`. It starts a broker in a temporary directory and lets
the JVM write, at its end, the classes it loaded. The archive only saves time: without it, or with
one of another Java, a broker starts all the same.
"""

import sys
import tempfile
from pathlib import Path

from local_stack.broker.java import CLASS_ARCHIVE, jar_directory
from local_stack.broker.process import LocalBroker
from operations.errors import OperationError


def write_class_archive(libs: Path) -> None:
    """Replace the archive beside the jars. Takes about 8 seconds. Raises: OperationError."""
    archive = libs / CLASS_ARCHIVE
    archive.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        new = Path(directory, CLASS_ARCHIVE)
        broker = LocalBroker(
            Path(directory, "broker"), 0, libs=libs, jvm_options=[f"-XX:ArchiveClassesAtExit={new}"]
        )
        broker.start()
        broker.wait_ready(timeout_seconds=60)
        broker.stop(timeout_seconds=60)
        # Beside its target first: a broker that starts now sees the whole file or none.
        beside = archive.with_suffix(".new")
        beside.write_bytes(new.read_bytes())
        beside.replace(archive)


if __name__ == "__main__":
    try:
        write_class_archive(jar_directory())
    except (OperationError, OSError) as error:
        print(f"no class archive, the broker starts a second slower: {error}", file=sys.stderr)
