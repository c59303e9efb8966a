"""Figures of several rounds, and the table they are shown in: median, spread, ratio.

Pure: no clock, no process. A figure is made of one sample for each round.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """What was measured of one contender; `samples` in the order of the rounds."""

    name: str
    unit: str
    samples: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """Largest minus smallest, as a share of the median."""
        return (max(self.samples) - min(self.samples)) / self.median if self.median else 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "min": min(self.samples),
            "max": max(self.samples),
            "samples": list(self.samples),
            "note": self.note,
        }


class Table(NamedTuple):
    """Figures that belong together; the first one is what the others are compared with."""

    title: str
    figures: tuple[Figure, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "figures": [
                figure.as_json() | {"ratio": self.ratio(figure)} for figure in self.figures
            ],
        }

    def ratio(self, figure: Figure) -> float | None:
        """How many times the first figure is of this one; None where units differ."""
        first = self.figures[0]
        if figure.unit != first.unit or not figure.median:
            return None
        return first.median / figure.median

    def as_text(self) -> str:
        """Lay the table out in Markdown, so that it can be pasted."""
        rows = [("", "median", "min to max", "spread", "ratio", "")]
        for figure in self.figures:
            ratio = self.ratio(figure)
            rows.append(
                (
                    figure.name,
                    f"{shown(figure.median)} {figure.unit}",
                    f"{shown(min(figure.samples))} to {shown(max(figure.samples))}",
                    f"{100 * figure.spread:.0f} %",
                    "" if ratio is None or figure is self.figures[0] else f"{ratio:.2g}",
                    figure.note,
                )
            )
        return f"{self.title}\n\n{aligned(rows)}"


def shown(number: float) -> str:
    """Write a number with as many digits as mean something."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that `share` of the sorted values do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Lay rows out as a Markdown table whose columns line up in plain text too."""
    used = [place for place in range(len(rows[0])) if any(row[place] for row in rows)]
    widths = {place: max(len(row[place]) for row in rows) for place in used}
    lines = [
        "| " + " | ".join(row[place].ljust(widths[place]) for place in used) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (widths[place] + 2) for place in used) + "|")
    return "\n".join(lines)
