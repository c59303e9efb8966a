"""Draws the plots from figures.json: `python draw.py DIRECTORY`. Needs matplotlib, nothing of ours.

Each plot is drawn from medians and their smallest and largest; the same figures give the same
bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
# Ids by chance and a date would change a file whose figures are the same.
mpl.rcParams["svg.hashsalt"] = "energy"
mpl.rcParams["svg.fonttype"] = "none"
mpl.rcParams["font.family"] = "sans-serif"

from matplotlib import pyplot  # noqa: E402

WIDTH, HEIGHT = 7.0, 3.6


def main(directory: Path) -> None:
    """Draw what there are figures of."""
    figures = json.loads((directory / "figures.json").read_text(encoding="utf-8"))
    for name, plot in figures["plots"].items():
        draw(plot, directory / f"{name}.svg")


def draw(plot: dict[str, Any], path: Path) -> None:
    """Draw one plot: a line for each series, its points with their spread."""
    canvas, axes = pyplot.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
    for series in plot["series"]:
        places = [point["at"] for point in series["points"]]
        medians = [point["median"] for point in series["points"]]
        below = [point["median"] - point["min"] for point in series["points"]]
        above = [point["max"] - point["median"] for point in series["points"]]
        axes.errorbar(
            places, medians, yerr=[below, above], marker="o", capsize=3, label=series["name"]
        )
    if plot["is_logarithmic"]:
        axes.set_xscale("log")
    places = sorted({point["at"] for series in plot["series"] for point in series["points"]})
    axes.set_xticks(places, [f"{place:,}" for place in places])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(plot["x"])
    axes.set_ylabel(plot["y"])
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    canvas.savefig(path, metadata={"Date": None})
    pyplot.close(canvas)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
