"""docs/clients/README.md: a row for each page, with a test that reads that page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "clients"
INDEX = PAGES / "README.md"
#: Page -> the test that its row names.
ROWS = dict(
    re.findall(
        r"^\|[^|]+\| \[[\w.]+\]\(([\w.]+)\) \| `([\w/.]+)`", INDEX.read_text("utf-8"), re.MULTILINE
    )
)


def test_each_page_has_a_row() -> None:
    assert ROWS.keys() == {page.name for page in PAGES.glob("*.md")} - {INDEX.name}


@pytest.mark.parametrize("page", ROWS)
def test_the_test_of_a_row_reads_the_page_and_the_page_names_it(page: str) -> None:
    test = ROOT / ROWS[page]
    sources = [test, test.with_name("client_pages.py")]
    assert any(f'"{page}"' in each.read_text("utf-8") for each in sources if each.is_file())
    assert ROWS[page] in (PAGES / page).read_text("utf-8")
