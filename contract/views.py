"""The views of a view version: the one place where a view is registered."""

from __future__ import annotations

from typing import Literal

from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.view import View

#: What a version born under some rules has. Rules are validator, folds and codecs, and which views
#: a version has: a change of any of them that can change a row or its bytes takes a new id. A view
#: that is added comes with new rules: versions that are there have no changelog of it, and continue
#: as they are. Of rules that this build does not know no version is touched (the fix is a replay).
VIEWS_OF_RULES: dict[str, tuple[View, ...]] = {
    "1": (DEVICE_TOTALS,),
    "2": (DEVICE_TOTALS, ENERGY_SERIES),
}


OnOff = Literal["on", "off"]
#: Whether a new view version has the series, where neither ENERGY_SERIES nor --series says it.
SERIES_BY_DEFAULT: OnOff = "on"
#: The rules that new view versions are born under.
RULES_WITH_SERIES: dict[OnOff, str] = {"off": "1", "on": "2"}


def rules_with(series: OnOff) -> str:
    """Return the rules of a new view version that has the series, or has not."""
    return RULES_WITH_SERIES[series]


#: What a new view version is born under unless it is told otherwise.
DEFAULT_RULES = rules_with(SERIES_BY_DEFAULT)
#: What a build calls itself by.
NEWEST_RULES = next(reversed(VIEWS_OF_RULES))


def is_known(rules_id: str) -> bool:
    """Whether this build can work on view versions that were born under these rules."""
    return rules_id in VIEWS_OF_RULES


def known_rules() -> str:
    """Name the rules of this build, for a message."""
    return " and ".join(VIEWS_OF_RULES)


def views_of(rules_id: str) -> tuple[View, ...]:
    """Return the views of a version; of another build's rules, those that all of this one have."""
    return VIEWS_OF_RULES.get(rules_id) or tuple(
        view for view in all_views() if all(view in views for views in VIEWS_OF_RULES.values())
    )


def all_views() -> list[View]:
    """Return every view that some version may have, each once."""
    return list(dict.fromkeys(view for views in VIEWS_OF_RULES.values() for view in views))


def views_of_both(rules_id: str, other: str) -> tuple[View, ...]:
    """Return the views that versions under either rules have: what can be compared."""
    return tuple(view for view in views_of(rules_id) if view in views_of(other))
