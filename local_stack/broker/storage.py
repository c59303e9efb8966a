"""Formats the local broker's storage, once, under a cluster id that is kept for good.

Kafka's storage tool is a JVM of its own. What it writes is two files: the features that the
metadata log begins with, which are the same for every cluster of a Kafka version, and whose
storage it is. Where the first is kept beside the jars (class_archive.py), both are written here.
"""

import os
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from local_stack.broker.properties import DATA_DIRECTORY

FEATURES = "bootstrap.checkpoint"
_OWNER = "meta.properties"


def format_once(
    directory: Path,
    java: Sequence[str],
    environment: Mapping[str, str],
    log: IO[bytes],
    features: Path,
) -> bool:
    """Format the storage unless it is; False if Kafka's storage tool failed (see the log).

    Runs the tool only where the file `features` is not there; then it blocks about 1 s. Safe to
    repeat after a kill: meta.properties comes last.
    """
    data = directory / DATA_DIRECTORY
    if (data / _OWNER).exists():
        return True
    id_file = directory / "cluster_id"
    cluster_id = id_file.read_text(encoding="ascii").strip() if id_file.exists() else ""
    if not cluster_id:
        cluster_id = _new_id()
        id_file.write_text(cluster_id, encoding="ascii")
    if features.exists():
        _format(data, cluster_id, _node_id(directory), features)
        return True
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


def _new_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")


def _node_id(directory: Path) -> str:
    lines = (directory / "server.properties").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)["node.id"]


def _format(data: Path, cluster_id: str, node_id: str, features: Path) -> None:
    data.mkdir(exist_ok=True)
    shutil.copyfile(features, data / FEATURES)
    owner = {
        "version": "1",
        "cluster.id": cluster_id,
        "node.id": node_id,
        "directory.id": _new_id(),
    }
    new = data / f"{_OWNER}.new"
    with new.open("w", encoding="ascii") as file:
        file.writelines(f"{name}={value}\n" for name, value in owner.items())
        file.flush()
        os.fsync(file.fileno())
    new.replace(data / _OWNER)
