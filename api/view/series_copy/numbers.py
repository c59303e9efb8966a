"""Numbers of devices and locations: given once in a copy, never again to another name."""

from __future__ import annotations

from typing import Any

from api.view.series_copy.layout import (
    LAST_NUMBER,
    NUMBER,
    Databases,
    PlaceRecord,
    name_key,
    pack_record,
)


def device_number(transaction: Any, databases: Databases, device_id: str) -> int | None:
    """Return a device's number; None where it was never seen."""
    found = transaction.get(device_id.encode(), db=databases.devices)
    return None if found is None else NUMBER.unpack(found)[0]


def location_number(transaction: Any, databases: Databases, location: str) -> int | None:
    """Return a location's number; None where it was never seen."""
    found = transaction.get(name_key(location), db=databases.locations)
    return None if found is None else NUMBER.unpack(found)[0]


class Numbering:
    """Looks numbers up and gives new ones, within one write transaction."""

    def __init__(self, transaction: Any, databases: Databases) -> None:
        """Begin with a transaction; what is looked up is kept for it."""
        self._transaction = transaction
        self._databases = databases
        self._devices: dict[str, int] = {}
        self._locations: dict[str, int] = {}

    def device(self, device_id: str) -> int:
        """Return a device's number."""
        number = self._devices.get(device_id)
        if number is None:
            number = device_number(self._transaction, self._databases, device_id)
            if number is None:
                number = self._next(self._databases.device_names)
                key, name = NUMBER.pack(number), device_id.encode()
                self._transaction.put(name, key, db=self._databases.devices)
                self._transaction.put(key, name, db=self._databases.device_names)
            self._devices[device_id] = number
        return number

    def location(self, location: str) -> int:
        """Return a location's number."""
        number = self._locations.get(location)
        if number is None:
            number = location_number(self._transaction, self._databases, location)
            if number is None:
                number = self._next(self._databases.places)
                key, record = NUMBER.pack(number), PlaceRecord(location, 0, 0, 0, 0, 0)
                self._transaction.put(name_key(location), key, db=self._databases.locations)
                self._transaction.put(key, pack_record(record), db=self._databases.places)
            self._locations[location] = number
        return number

    def _next(self, names: Any) -> int:
        number: int = self._transaction.stat(names)["entries"]
        if number > LAST_NUMBER:
            raise OverflowError("a copy holds no more names than 2 ** 32")
        return number
