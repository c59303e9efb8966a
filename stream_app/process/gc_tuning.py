"""When Python looks for garbage: seldom. Folding makes lists by the hundred thousand, no cycles."""

from __future__ import annotations

import gc

#: Container objects made before the youngest are looked at, and rounds before older ones are.
THRESHOLDS = (200_000, 50, 1_000)


def collect_seldom() -> None:
    """Set the process up for folding; by Python's own thresholds it takes a third longer."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
