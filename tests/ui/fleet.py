"""The fleet that the page is tried on: some homes, two changes of the clocks, names by enemies."""

from __future__ import annotations

from typing import Any

MARKUP = "<img src=x onerror=\"document.title='broken'\">"
#: Right to left, and an override that turns what stands behind it.
TURNED = "\u202egnp.exe\u05d0\u05d1\u05d2"
LONG = "x" * 256
COMMA = "meter,7"
DOTS = ".."


def reading(device: str, energy: str | float, at: str, place: str = "Kitchen") -> dict[str, Any]:
    return {"timestamp": at, "device_id": device, "energy_consumed": energy, "location": place}


def fleet() -> list[dict[str, Any]]:
    """Readings whose sum is TOTAL."""
    found = []
    for hour in range(24 * 7):
        day = f"2025-10-{22 + hour // 24:02} {hour % 24:02}:10:00"
        for number in range(20):
            place = ("Kitchen", "Living Room", "Garage", "")[number % 4]
            found.append(reading(f"device_{number}", "0.1", day, place))
    found += [
        reading("spring", 7, "2025-03-30T12:00:00+02:00"),
        reading("spring", 7, "2025-03-31T12:00:00+02:00"),
        reading(MARKUP, "400.5", "2025-10-26 10:00:00", "<b>bold</b>"),
        reading(TURNED, "300.25", "2025-10-26 10:00:00", "\u202e\u05d0"),
        reading(LONG, "200.123456789012345678901234567890", "2025-10-26 10:00:00", "y" * 256),
        reading(COMMA, 5, "2025-10-26 10:00:00"),
        reading("meter", 1000, "2025-10-26 10:00:00"),
        reading("7", 1, "2025-10-26 10:00:00"),
        reading(DOTS, 3, "2025-10-26 10:00:00"),
    ]
    return found


#: As the page writes it, with a thin space between groups of three.
TOTAL = "2\u202f259.87345678901234567890123456789"
