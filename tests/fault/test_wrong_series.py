"""The judge of the series finds builds whose series is wrong and whose totals are right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.checker import broken
from tests.fault.pipeline import Pipeline
from tests.fault.test_mixed_builds import build

COUNTS_TWICE = """
import contract.quarter_sums as sums

fold = sums.fold

def fold_and_again(readings, into):
    readings = list(readings)
    fold(readings, into)
    fold(readings[:1], into)

sums.fold = fold_and_again
"""

FORGETS_OFFSETS = """
import contract.quarter_sums as sums

sums._plain = lambda stamp: stamp[:19].replace("T", " ")
"""


@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("code", "invariants"),
    [(COUNTS_TWICE, {"I18", "I19"}), (FORGETS_OFFSETS, {"I18"})],
    ids=["a reading twice", "in the quarter of local time"],
)
def test_a_wrong_series_beside_right_totals_is_found(
    pipeline: Pipeline, tmp_path: Path, code: str, invariants: set[str]
) -> None:
    pipeline.workers.add(**build(tmp_path / "other", code))
    pipeline.fleet.publish(2_000)
    found, wrong = pipeline.settle()
    assert set(broken(found)) == invariants, (found, wrong)
    assert len(wrong) == len(invariants), wrong
