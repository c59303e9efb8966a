"""How the local broker's storage is formatted: by Kafka's tool, or by what it wrote before."""

import re
import sys
from pathlib import Path

import pytest

from local_stack.broker.storage import FEATURES, format_once

BYTES = b"what a new cluster's metadata begins with"
#: Says what it was asked, and writes what Kafka's tool writes last.
TOOL = """
import pathlib, sys
pathlib.Path("asked").write_text(" ".join(sys.argv[1:]))
pathlib.Path("data").mkdir()
pathlib.Path("data/meta.properties").touch()
"""


@pytest.fixture
def broker(tmp_path: Path) -> Path:
    directory = tmp_path / "broker"
    directory.mkdir()
    (directory / "server.properties").write_text("listeners=A://x:1,B://x:2\nnode.id=3\n")
    return directory


def format_it(directory: Path, features: Path, code: str = TOOL) -> bool:
    with (directory / "log").open("ab") as log:
        return format_once(directory, [sys.executable, "-c", code], {}, log, features)


def test_what_the_tool_wrote_once_is_written_again_without_it(broker: Path, tmp_path: Path) -> None:
    features = tmp_path / FEATURES
    features.write_bytes(BYTES)
    assert format_it(broker, features, "raise SystemExit(1)")
    assert (broker / "data" / FEATURES).read_bytes() == BYTES
    written = (broker / "data" / "meta.properties").read_text()
    owner = dict(line.split("=") for line in written.splitlines())
    assert owner.pop("cluster.id") == (broker / "cluster_id").read_text()
    assert re.fullmatch(r"[\w-]{22}", owner.pop("directory.id"))
    assert owner == {"version": "1", "node.id": "3"}
    # And never again: it is whose data lies beside it.
    features.write_bytes(b"another")
    assert format_it(broker, features, "raise SystemExit(1)")
    assert (broker / "data" / "meta.properties").read_text() == written


def test_without_it_the_tool_is_asked_under_an_id_that_is_kept(
    broker: Path, tmp_path: Path
) -> None:
    assert not format_it(broker, tmp_path / FEATURES, "raise SystemExit(1)")
    kept = (broker / "cluster_id").read_text()
    assert format_it(broker, tmp_path / FEATURES)
    asked = (broker / "asked").read_text().split()
    assert asked[1:] == ["format", f"--cluster-id={kept}", "--config=server.properties"]
