"""Versions with the series and without live side by side, each under the rules of its birth."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from contract.changelog import Birth
from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.errors import SettingError
from contract.topics import READINGS
from contract.view_versions import Views, ViewState, ViewVersion
from contract.views import DEFAULT_RULES, rules_with
from operations.errors import Refused
from operations.replay import begin
from operations.replay.begin import Wanted
from operations.settings import TopicSettings
from operations.topics import declared
from operations.views import birth

TOTALS, SERIES = (view.changelog(1).name for view in (DEVICE_TOTALS, ENERGY_SERIES))


def version(number: int, state: ViewState, rules_id: str) -> ViewVersion:
    return ViewVersion(number, state, 2, rules_id)


def names(settings: TopicSettings, views: Views | None = None) -> list[str]:
    return [topic.name for topic in declared.declared_topics(settings, 1, views)][4:]


def test_the_setting_says_what_the_first_version_has() -> None:
    assert names(TopicSettings.load({"ENERGY_SERIES": "on"})) == [TOTALS, SERIES]
    assert names(TopicSettings.load({"ENERGY_SERIES": "off"})) == [TOTALS]
    assert TopicSettings.load({}).rules_id == DEFAULT_RULES
    with pytest.raises(SettingError, match=r"ENERGY_SERIES: must be 'on' or 'off' \(it is 'yes'\)"):
        TopicSettings.load({"ENERGY_SERIES": "yes"})


def test_versions_that_are_there_have_what_they_were_born_with() -> None:
    views = Views(1, {1: version(1, "live", "1"), 2: version(2, "building", "2")})
    for series in ("on", "off"):
        assert names(TopicSettings.load({"ENERGY_SERIES": series}), views) == [
            TOTALS,
            *(view.changelog(2).name for view in (DEVICE_TOTALS, ENERGY_SERIES)),
        ]


def test_both_changelogs_have_the_same_configs() -> None:
    totals, series = declared.declared_topics(TopicSettings.load({"ENERGY_SERIES": "on"}), 1)[4:]
    assert totals[1:] == series[1:]


def test_a_changelog_behind_a_live_view_is_not_made_again() -> None:
    missing = declared.declared_topics(TopicSettings.load({"ENERGY_SERIES": "on"}), 1)[-1:]
    with pytest.raises(Refused, match=f"{SERIES} is gone, though view version 1 is live"):
        declared._refuse_to_replace(missing, version(1, "live", "2"))
    declared._refuse_to_replace(missing, version(1, "live", "1"))


def born(rules_id: str) -> Birth:
    return Birth("C", READINGS.name, "id", "id", 0, rules_id)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has both changelogs; their births are under the rules in `born`."""
    topic = SimpleNamespace(topic_id="id", partitions=2)
    made = SimpleNamespace(
        settings=None,
        brokers=lambda: 1,
        topic_names=lambda: {"energy_views"},
        cluster_id=lambda: "C",
        topics=lambda asked: {name: topic for name in asked if name not in made.gone},
        gone=set(),
        born={DEVICE_TOTALS: "2", ENERGY_SERIES: "2"},
    )

    def read_births(_: object, view: Any, number: int, partitions: int) -> dict[int, Birth]:
        return dict.fromkeys(range(partitions), born(made.born[view]))

    for module in (birth, begin):
        monkeypatch.setattr(module, "read_births", read_births)
    return made


def test_a_version_is_verified_by_the_rules_it_was_born_under(cluster: Any) -> None:
    birth.verify_births(cluster, version(1, "live", "2"))
    cluster.born = {DEVICE_TOTALS: "1"}
    birth.verify_births(cluster, version(1, "live", "1"))


def test_rules_that_this_build_does_not_know_are_refused(cluster: Any) -> None:
    with pytest.raises(
        Refused,
        match="version 1: its totals follow rules 7, this program has rules 1 and 2; `energy repl",
    ):
        birth.verify_births(cluster, version(1, "live", "7"))


def test_a_changelog_of_other_rules_than_its_version_is_refused(cluster: Any) -> None:
    cluster.born[ENERGY_SERIES] = "1"
    with pytest.raises(Refused, match=f"{SERIES} was born under rules 1, the view version under"):
        birth.verify_births(cluster, version(1, "live", "2"))


def test_a_changelog_that_is_gone_is_named(cluster: Any) -> None:
    cluster.gone = {SERIES}
    with pytest.raises(Refused, match=f"view version 1: {SERIES} is gone; `energy replay start`"):
        birth.verify_births(cluster, version(1, "live", "2"))


@pytest.fixture
def building(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`building(rules_id, wanted)`: ask for a replay while one is under way."""

    def start(rules_id: str, wanted: Wanted) -> None:
        views = Views(1, {1: version(1, "live", "1"), 2: version(2, "building", rules_id)})
        cluster.born = dict.fromkeys((DEVICE_TOTALS, ENERGY_SERIES), rules_id)
        monkeypatch.setattr(begin, "read_views", lambda _: views)
        found, is_new = begin.begin(cluster, TopicSettings.load({}), wanted)
        assert (found.rules_id, is_new) == (rules_id, False)

    return start


@pytest.mark.parametrize(
    ("rules_id", "series"), [("1", None), ("2", None), ("1", "off"), ("2", "on")]
)
def test_a_replay_goes_on_as_it_was_begun(
    building: Callable[..., None], rules_id: str, series: Any
) -> None:
    building(rules_id, Wanted(series=series))


def test_a_replay_does_not_change_what_is_being_built(building: Callable[..., None]) -> None:
    cure = "; `energy replay abort` drops view version 2"
    with pytest.raises(Refused, match=f"is being built without energy_series{cure}"):
        building("1", Wanted(series="on"))
    with pytest.raises(Refused, match=f"is being built with energy_series{cure}"):
        building("2", Wanted(series="off"))
    with pytest.raises(Refused, match=f"with rules 9, this program has rules 1 and 2{cure}"):
        building("9", Wanted())


@pytest.mark.parametrize(
    ("setting", "series", "has"),
    [("on", None, "on"), ("off", None, "off"), ("on", "off", "off"), ("off", "on", "on")],
)
def test_a_new_replay_has_what_it_is_asked_for_else_what_the_setting_says(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, setting: str, series: Any, has: Any
) -> None:
    views = Views(1, {1: version(1, "live", "1")})
    made: list[ViewVersion] = []

    def give_birth(_: object, birth: Any) -> tuple[Views, bool]:
        assert set(birth.births) == set(created)
        return Views(1, {2: birth.version}), True

    def create_changelogs(_: object, __: object, version: ViewVersion) -> None:
        made.append(version)
        created.extend(begin.views_of(version.rules_id))

    created: list[Any] = []
    monkeypatch.setattr(begin, "read_views", lambda _: views)
    monkeypatch.setattr(begin, "start_offsets", lambda *_, accept_partial: [0, 0])
    monkeypatch.setattr(begin, "next_number", lambda *_: 2)
    monkeypatch.setattr(begin, "create_changelogs", create_changelogs)
    monkeypatch.setattr(begin, "give_birth", give_birth)
    settings = TopicSettings.load({"ENERGY_SERIES": setting})
    found, is_new = begin.begin(cluster, settings, Wanted(series=series))
    assert is_new
    assert found == made[0] == ViewVersion(2, "building", 2, rules_with(has))
