"""Where to begin far within the devices in order of their ids, for who asks with an offset."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any

#: Devices from one mark to the next: some 0.5 ms.
STEP = 4_096


class Places:
    """The device at each so many-th place, of a copy; in any thread.

    Devices are only ever added, so as many as before are the same ones. All are walked through
    when there are more: 0.2 s for a million.
    """

    def __init__(self) -> None:
        self._known: tuple[int, list[bytes]] = (0, [])

    def put(self, cursor: Any, place: int, devices: int) -> None:
        """Put a cursor on a place below the number of devices."""
        count, marks = self._known
        if count != devices:
            marks = list(islice(cursor.iternext(values=False), 0, None, STEP))
            self._known = devices, marks
        if cursor.set_key(marks[place // STEP]):
            place %= STEP
        else:  # They are of rows that are all removed since.
            cursor.first()
        deque(islice(cursor.iternext(values=False), place + 1), 0)
