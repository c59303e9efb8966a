"""`energy load` where no broker is needed: what it looks into, and which load it goes on with."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest

from contract.import_positions import Position
from producer.errors import LoadUnknown, ProducerStopped
from producer.files.cells import Dialect
from producer.files.content import Content
from producer.imports.file_load import Loads
from producer.imports.load_notes import (
    Note,
    Source,
    content_hash,
    find,
    gone_on,
    is_same,
    note_of,
)
from producer.settings import ProducerSettings


def test_a_pipe_with_nothing_in_it_yet_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    stop = Event()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(pipe))
        loads = Loads(ProducerSettings.load({}), [Source(None, None, Dialect())], stop)
        Timer(0.05, stop.set).start()
        with pytest.raises(ProducerStopped):
            list(loads.load(0, lambda done, total: None))
        os.write(writing, b"x")


def known(path: Path, **changes: Any) -> Note:
    """The note of a load of a file as it lies now, its content looked at."""
    note = note_of(Source(path, None, Dialect()))
    with path.open("rb") as file:
        note["content"] = content_hash(Content(file, path.name), lambda: None)
    return note | changes


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str, str], Path]:
    def create(name: str, text: str = "same") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return create


Make = Callable[..., Path]


def found(positions: dict[bytes, Position], note: Note, taken: set[bytes] | None = None) -> bytes:
    return find(positions, note, "F", taken or set())[0]


def test_c1_of_several_loads_the_newest_of_this_path_goes_on(make: Make) -> None:
    one, other = make("1"), make("2")
    positions = {
        b"load/a/0": Position(9, note=known(one, started_at="1")),
        b"load/b/0": Position(9, note=known(one, started_at="2", done=True)),
        b"load/c/0": Position(9, note=known(other, started_at="3")),
    }
    assert found(positions, known(one)) == b"load/b/0"
    assert found(positions, known(other)) == b"load/c/0"
    assert found(positions, known(one), {b"load/b/0"}) == b"load/a/0"


def test_c1_of_a_moved_file_the_one_that_broke_off_goes_on(make: Make) -> None:
    one, other = make("1"), make("2")
    positions = {
        b"load/a/0": Position(9, note=known(one, started_at="1")),
        b"load/b/0": Position(9, note=known(other, started_at="2", done=True)),
    }
    assert found(positions, known(make("3"))) == b"load/a/0"


def test_c1_a_note_without_content_is_the_one_of_its_path(make: Make) -> None:
    one = make("1")
    named = known(one, content=None)
    assert found({b"load/a/0": Position(note=named)}, known(one)) == b"load/a/0"
    with pytest.raises(LoadUnknown, match="no interrupted load of this file is known: F"):
        found({b"load/a/0": Position(9, note=named)}, known(make("2", "other")))
    changed = known(one, content="of before")
    with pytest.raises(LoadUnknown, match="after row 5, and the file has changed since"):
        found({b"load/a/0": Position(9, 4, 1, note=changed)}, known(one))


def test_c1_a_load_that_goes_on_is_read_as_it_began(make: Make) -> None:
    note = known(make("1"), format="csv", delimiter=";", line=7, started_at="1")
    fresh = known(make("2"), format="ndjson", started_at="2")
    gone = gone_on(Position(9, note=note), fresh)
    assert (gone["format"], gone["delimiter"], gone["line"]) == ("csv", ";", 7)
    assert (gone["started_at"], gone["file"]) == ("1", fresh["file"])


def test_a_note_that_names_no_content_is_of_no_file() -> None:
    assert not is_same(Position(9, note={"file": "a.ndjson"}), {"content": "x", "file": "a.ndjson"})
