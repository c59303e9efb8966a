"""Which views a version has, by the rules that it was born under."""

from __future__ import annotations

import pytest

from contract import views
from contract.build import labels
from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES


def test_a_version_with_the_series_has_both_views() -> None:
    assert views.views_of(views.rules_with("on")) == (DEVICE_TOTALS, ENERGY_SERIES)
    assert views.views_of(views.rules_with("off")) == (DEVICE_TOTALS,)
    assert views.rules_with(views.SERIES_BY_DEFAULT) == views.DEFAULT_RULES


def test_of_two_versions_what_both_have_is_compared() -> None:
    with_it, without = views.rules_with("on"), views.rules_with("off")
    assert views.views_of_both(with_it, with_it) == (DEVICE_TOTALS, ENERGY_SERIES)
    assert views.views_of_both(with_it, without) == (DEVICE_TOTALS,)


def test_of_rules_of_another_build_only_what_every_version_has_is_known() -> None:
    assert views.views_of("of another build") == (DEVICE_TOTALS,)
    assert not views.is_known("of another build")


@pytest.mark.parametrize("rules_id", list(views.VIEWS_OF_RULES))
def test_rules_are_known_and_named(rules_id: str) -> None:
    assert views.is_known(rules_id)
    assert rules_id in views.known_rules().split(" and ")


def test_a_build_calls_itself_by_its_newest_rules() -> None:
    assert labels()["rules_id"] == views.NEWEST_RULES == views.rules_with("on")
