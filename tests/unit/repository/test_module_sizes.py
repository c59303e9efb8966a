"""A module has one idea: one that grows long mostly has a second."""

from pathlib import Path

from tests.rooms import ROOMS

ROOT = Path(__file__).parents[3]
MOST_LINES = 250


def test_no_module_is_longer_than_one_idea() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
    }
    assert len(lengths) > 250, "they are looked at where they are"
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}
