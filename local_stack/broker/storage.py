"""Formats the local broker's storage, once, under a cluster id that is kept for good."""

import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from local_stack.broker.properties import DATA_DIRECTORY


def format_once(
    directory: Path, java: Sequence[str], environment: Mapping[str, str], log: IO[bytes]
) -> bool:
    """Run Kafka's storage tool unless it has been run; False if it failed (see the log).

    Safe to repeat after a kill: the tool writes meta.properties last. Blocks about 1 s.
    """
    if (directory / DATA_DIRECTORY / "meta.properties").exists():
        return True
    id_file = directory / "cluster_id"
    cluster_id = id_file.read_text(encoding="ascii").strip() if id_file.exists() else ""
    if not cluster_id:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        id_file.write_text(cluster_id, encoding="ascii")
    # One argument: an id may begin with a dash.
    arguments = [f"--cluster-id={cluster_id}", "--config=server.properties"]
    done = subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", *arguments],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        check=False,
    )
    return done.returncode == 0
