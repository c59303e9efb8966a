"""Kafka's jars are what is pinned, all of them or none; fetched once, and from where users say."""

import gc
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from local_stack.broker.jars import Jar, fetch, jars
from local_stack.errors import MissingPart

ROOT = Path(__file__).parents[3]
# jgo leaves its connections to be collected.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_what_is_pinned_is_one_kafka_with_a_checksum_for_each_jar() -> None:
    pinned = jars()
    assert len({jar.artifact for jar in pinned}) == len(pinned) > 40
    assert all(len(jar.sha256) == 64 for jar in pinned)
    versions = {jar.version for jar in pinned if jar.group == "org.apache.kafka"}
    assert len(versions) == 1


class Mirror:
    """A Maven repository on this machine, as a user's jgo.conf names it; counts what is asked."""

    def __init__(self, directory: Path) -> None:
        self.root, self.asked = directory / "repository", list[str]()
        self.lock = directory / "jars.lock"
        self.lock.write_text("")
        mirror = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                mirror.asked.append(self.path)

        self.root.mkdir()
        handler = partial(Handler, directory=str(self.root))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.config = directory / "jgo.conf"
        url = f"http://127.0.0.1:{self.server.server_port}"
        self.config.write_text(f"[repositories]\ncentral = {url}\n")

    def add(self, artifact: str, content: bytes, *, pinned: bytes | None = None) -> Jar:
        digest = hashlib.sha256(content if pinned is None else pinned).hexdigest()
        jar = Jar("org.example", artifact, "1.0", digest)
        place = self.root / "org" / "example" / artifact / "1.0"
        place.mkdir(parents=True)
        (place / jar.name).write_bytes(content)
        pom = (
            "<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId>"
            f"<artifactId>{artifact}</artifactId><version>1.0</version></project>"
        )
        (place / f"{artifact}-1.0.pom").write_text(pom)
        with self.lock.open("a") as lock:
            lock.write(f"org.example:{artifact}:1.0 sha256:{digest}\n")
        return jar


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    mirror = Mirror(tmp_path)
    monkeypatch.setenv("JGO_CONFIG_FILE", str(mirror.config))
    yield mirror
    mirror.server.shutdown()
    mirror.server.server_close()
    gc.collect()


def test_jars_come_from_the_mirror_that_the_user_has_set_and_only_once(
    mirror: Mirror, tmp_path: Path
) -> None:
    wanted = [mirror.add("one", b"1"), mirror.add("two", b"2")]
    said: list[str] = []
    libs = tmp_path / "cache" / "libs"
    fetch(libs, said.append, lock=mirror.lock)
    assert {path.name: path.read_bytes() for path in libs.iterdir()} == {
        wanted[0].name: b"1",
        wanted[1].name: b"2",
    }
    asked = len(mirror.asked)
    fetch(libs, said.append, lock=mirror.lock)
    assert len(mirror.asked) == asked > 0
    assert len(said) == 1, "what takes long is told, once"


def test_a_jar_that_is_not_what_is_pinned_is_refused_and_nothing_is_left(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.add("one", b"1")
    bad = mirror.add("two", b"another", pinned=b"2")
    libs = tmp_path / "cache" / "libs"
    with pytest.raises(MissingPart, match=f"{bad.name} is not what is pinned: its SHA-256"):
        fetch(libs, print, lock=mirror.lock)
    assert not libs.exists()


def test_a_jar_that_is_nowhere_is_named_with_where_a_mirror_goes(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.lock.write_text(f"org.example:gone:1.0 sha256:{'0' * 64}\n")
    with pytest.raises(MissingPart, match=r"gone-1\.0\.jar cannot be fetched: .*jgo\.conf"):
        fetch(tmp_path / "libs", print, lock=mirror.lock)


def test_an_environment_without_jgo_is_told_what_to_install(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "jgo").mkdir(parents=True)
    (hidden / "jgo" / "__init__.py").write_text("raise ImportError\n")
    ended = subprocess.run(
        [sys.executable, "-m", "local_stack.broker.jars"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(hidden), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "jgo, which fetches Apache Kafka, is missing: install it with:"
        " pip install 'energy-totals[local]'\n"
    )
