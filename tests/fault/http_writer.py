"""Publishes readings over HTTP as clients would, and holds every answer against the log.

Plain http.client and json. Each row is its own: the log says how often it is there. A body is
never sent again, whatever the answer: another copy would be another reading.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

DEVICE = "written_"
EVENTS = "/v0/events?name=energy_consumption"
_ANSWER_SECONDS = 60
_AGAIN_SECONDS = 0.05
_SHOWN, _ACKNOWLEDGED, _NOT_WRITTEN, _UNKNOWN = 200, 202, 503, 504


class Answer(NamedTuple):
    """What a client was told of one body; status 0: the connection ended without an answer."""

    device: str
    rows: range
    status: int
    found: dict[str, Any]


class HttpWriter:
    """Some clients, each with a device and a connection of its own, in a thread of its own."""

    def __init__(
        self, port: int, token: str, *, clients: int = 4, rows: int = 20, wait: bool = False
    ) -> None:
        #: One after the other of all clients.
        self.answers: list[Answer] = []
        #: Rows that were said to be shown by reads, and were not.
        self.not_shown: list[str] = []
        self._port, self._rows = port, rows
        self._headers = {"Authorization": f"Bearer {token}"}
        self._path = EVENTS + ("&wait=true" if wait else "")
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(f"{DEVICE}{number}",), daemon=True)
            for number in range(clients)
        ]

    def start(self) -> HttpWriter:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> HttpWriter:
        """Return once every client has had its last answer."""
        self._stopped.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        return self

    def statuses(self) -> Counter[int]:
        return Counter(answer.status for answer in self.answers)

    def accepted(self) -> int:
        """How many bodies were answered as safe so far."""
        statuses = self.statuses()
        return statuses[_SHOWN] + statuses[_ACKNOWLEDGED]

    def _run(self, device: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        begin = shown = 0
        while not self._stopped.is_set():
            rows = range(begin, begin + self._rows)
            begin = rows.stop
            try:
                connection.connect()
            except OSError:
                self._stopped.wait(_AGAIN_SECONDS)
                continue
            status, found = self._post(connection, device, rows)
            self.answers.append(Answer(device, rows, status, found))
            if status == _SHOWN:
                shown += found["successful_rows"]
                self._look(connection, device, shown)
            elif status != _ACKNOWLEDGED:
                self._stopped.wait(_AGAIN_SECONDS)
            connection.close()

    def _post(
        self, connection: http.client.HTTPConnection, device: str, rows: range
    ) -> tuple[int, dict[str, Any]]:
        body = "\n".join(
            f'{{"timestamp": "2025-04-30 10:11:21", "device_id": "{device}", '
            f'"energy_consumed": {row}, "location": "Kitchen"}}'
            for row in rows
        )
        try:
            connection.request("POST", self._path, body.encode(), self._headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return 0, {}

    def _look(self, connection: http.client.HTTPConnection, device: str, shown: int) -> None:
        """After `wait=true` a read must have the rows."""
        try:
            connection.request("GET", f"/v0/devices/{device}", headers=self._headers)
            answer = connection.getresponse()
            found = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return
        if answer.status != _NOT_WRITTEN and found.get("readings", 0) < shown:
            self.not_shown.append(f"{device}: {shown} rows were shown, {answer.status} {found}")

    def verdict(self, records: Iterable[Any]) -> dict[str, Any]:
        """Hold all answers against the readings log; `wrong` must be empty."""
        copies: Counter[tuple[str, int]] = Counter()
        for record in records:
            value = record.value() or b""
            if DEVICE.encode() in value:
                row = json.loads(value)
                copies[row["device_id"], row["energy_consumed"]] += 1
        wrong = [f"{row} is there {count} times" for row, count in copies.items() if count > 1]
        for answer in self.answers:
            there = sum(copies[answer.device, row] for row in answer.rows)
            if complaint := _complaint(answer, there):
                wrong.append(f"{complaint}: {there} in the log of {answer}")
        return {
            "bodies": dict(self.statuses()),
            "rows_acknowledged": sum(a.found.get("successful_rows", 0) for a in self.answers),
            "rows_in_log": sum(copies.values()),
            "wrong": wrong + self.not_shown,
        }


def _complaint(answer: Answer, there: int) -> str:
    """What is wrong about an answer, when so many of its rows are in the log; empty: nothing."""
    rows, found = len(answer.rows), answer.found
    if answer.status in (_SHOWN, _ACKNOWLEDGED):
        if found != {"successful_rows": rows, "quarantined_rows": 0}:
            return "not the rows that were sent"
        return "" if there == rows else "not each row once"
    if answer.status == _NOT_WRITTEN:
        return "said not to be written" if there else ""
    if answer.status == _UNKNOWN:
        least = found["successful_rows"]
        return "" if least <= there <= least + found["unknown_rows"] else "not as many as told"
    return "" if answer.status == 0 else "no answer of the contract"
