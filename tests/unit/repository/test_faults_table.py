"""docs/FAULTS.md is complete, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
IDS = {f"X{number}" for number in range(1, 51)} - {"X21", "X22", "X35", "X42"}
#: Of the last list: at most a row each, until all are written.
NEW = {f"X{number}" for number in range(51, 62)}
ROW = re.compile(r"^\| (X\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str, str]]:
    return ROW.findall((ROOT / "docs" / "FAULTS.md").read_text(encoding="utf-8"))


def test_each_fault_has_one_row() -> None:
    ids = [row[0] for row in rows()]
    assert len(ids) == len(set(ids))
    assert set(ids) - NEW == IDS


def test_each_row_names_a_test_that_is_there_or_says_that_there_is_none() -> None:
    for fault, _, named, figure in rows():
        if named == "none":
            assert "not " in figure, fault
        else:
            assert (ROOT / named.strip("`")).is_file(), f"{fault}: {named}"


def test_each_fault_of_operations_has_a_test_with_its_id() -> None:
    text = (ROOT / "docs" / "FAULTS.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| ops ([BK]\d+) \| [^|]+ \| `([^`]+)` \|$", text, re.MULTILINE)
    assert len({fault for fault, _ in found}) == len(found) == 25
    for fault, file in found:
        assert f"def test_ops_{fault.lower()}_" in (ROOT / file).read_text(encoding="utf-8"), fault
