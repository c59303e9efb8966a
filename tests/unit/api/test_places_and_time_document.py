"""The examples of docs/PLACES_AND_TIME.md, asked and answered."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.api.test_places_and_time import sample, served

DOCUMENT = Path(__file__).parents[3] / "docs" / "PLACES_AND_TIME.md"
EXAMPLES = re.findall(
    r"^\$ curl 'http://127\.0\.0\.1:8000([^']+)' -H \"Authorization: Bearer \$TOKEN\"\n(.*?)^```$",
    DOCUMENT.read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
READINGS = [
    sample("2025-10-25T23:15:00+02:00", Decimal("0.4"), "heater", "Kitchen"),
    sample("2025-10-26T02:15:00+02:00", Decimal("0.5"), "heater", "Kitchen"),
    sample("2025-10-26T02:45:00+02:00", Decimal("0.1"), "heater", "Kitchen"),
    sample("2025-10-26T02:15:00+01:00", Decimal("0.2"), "heater", "Kitchen"),
    sample("2025-10-26T03:15:00+01:00", Decimal("1.5"), "heater", "Hall"),
    sample("2025-10-26T03:20:00+01:00", 7, "lamp", "Hall"),
]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize(("target", "shown"), EXAMPLES)
async def test_an_example_is_answered_as_it_is_shown(
    tmp_path: Path, target: str, shown: str
) -> None:
    answer = await (await served(tmp_path, *READINGS)).get(target)
    assert answer.body.decode() == shown
