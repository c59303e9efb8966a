"""ENERGY_PREFIX stands before each name in Kafka, and before no name of the API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.device_totals import DEVICE_TOTALS
from contract.errors import SettingError
from contract.import_positions import import_transactional_id
from contract.prefix import use_prefix
from contract.topics import (
    DATA_SOURCE,
    IMPORTS,
    QUARANTINE,
    READINGS,
    VIEWS,
    app_id,
    views_transactional_id,
)
from operations.replay.drop import kept_directory, replay_directory
from operations.views.adoption import version_of

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_prefix_afterwards() -> Iterator[None]:
    yield
    use_prefix({})


def names() -> list[str]:
    return [
        *(
            topic.name
            for topic in (READINGS, QUARANTINE, VIEWS, IMPORTS, DEVICE_TOTALS.changelog(3))
        ),
        app_id(3),
        DEVICE_TOTALS.transactional_id(3, 7),
        DEVICE_TOTALS.probe_transactional_id(3, 7),
        views_transactional_id(),
        import_transactional_id("load", "x"),
    ]


def test_ops_k8_every_name_in_kafka_begins_with_it() -> None:
    without = names()
    use_prefix({"ENERGY_PREFIX": "staging."})
    assert names() == [f"staging.{name}" for name in without]
    assert DATA_SOURCE == "energy_consumption"


def test_ops_k8_directories_in_a_home_of_several_are_its_own() -> None:
    use_prefix({"ENERGY_PREFIX": "staging."})
    home = Path("home")
    assert replay_directory(home, 2) == home / "staging.replay-v2"
    assert kept_directory(home, 1) == home / "staging.kept-v1"


def test_ops_k8_only_changelogs_of_the_same_prefix_are_its_own() -> None:
    use_prefix({"ENERGY_PREFIX": "a.b-"})
    assert version_of("a.b-energy-v12-device_totals-changelog") == 12
    for foreign in ("", "axb-", "xa.b-"):
        assert version_of(f"{foreign}energy-v12-device_totals-changelog") is None


@pytest.mark.parametrize("text", ["a/b", "a b", "\u00e4", "a" * 101, "a\n"])
def test_ops_k8_what_kafka_would_refuse_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingError, match=r"^ENERGY_PREFIX: "):
        use_prefix({"ENERGY_PREFIX": text})


def test_ops_k8_no_module_names_a_group_or_writer_without_it() -> None:
    named = re.compile(r'"(?:group|transactional)\.id": f?"')
    rooms = ("api", "kafka_io", "operations", "producer", "stream_app")
    paths = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    assert len(paths) > 100
    assert [str(path) for path in paths if named.search(path.read_text())] == []
