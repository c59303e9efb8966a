"""The views of a view version: the one place where a view is registered."""

from __future__ import annotations

from contract.device_totals import DEVICE_TOTALS
from contract.view import View

#: Names the rules that made a view version: validator, folds and codecs, and which views it has.
#: A change of any of them that can change a row or its bytes is a new id; a view version born
#: under another id is not touched (the fix is a replay).
RULES_ID = "1"

#: What a version born under some rules has. A view that is added comes with new rules: versions
#: that are there have no changelog of it, and go on as they are.
VIEWS_OF_RULES: dict[str, tuple[View, ...]] = {
    "1": (DEVICE_TOTALS,),
}


def views_of(rules_id: str) -> tuple[View, ...]:
    """Return the views of a version; of another build's rules, those that this build makes."""
    return VIEWS_OF_RULES.get(rules_id) or next(reversed(VIEWS_OF_RULES.values()))


def all_views() -> list[View]:
    """Return every view that some version may have, each once."""
    return list(dict.fromkeys(view for views in VIEWS_OF_RULES.values() for view in views))


def views_of_both(rules_id: str, other: str) -> tuple[View, ...]:
    """Return the views that versions under either rules have: what can be compared."""
    return tuple(view for view in views_of(rules_id) if view in views_of(other))
