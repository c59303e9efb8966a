"""A client that polls devices and listings all the time, and holds the API to its promise (I10).

Plain http.client and json. Within one process of the API: offsets never fall, no device's
readings fall, a listing and a device never fall behind what was seen before, the view version
changes only when somebody says so, and nothing but 200 and 304 is answered.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from urllib.parse import quote

LISTING = "/v0/pipes/energy_consumption_by_device.json"


class Poller:
    """Asks for some devices in turn, each with a listing of all of them, from a thread."""

    def __init__(self, port: int, token: str, devices: list[str], pause: float = 0.005) -> None:
        self._port, self._devices = port, devices
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pause = pause
        self._readings: Counter[str] = Counter()
        self._offsets: dict[int, int] = {}
        self._tag = ""
        self.statuses: Counter[int] = Counter()
        self.versions: list[str] = []
        #: When each version was seen first, by time.time.
        self.seen_at: list[float] = []
        #: Longest time without news, by partition, in seconds.
        self.pauses: dict[int, float] = {}
        self._news_at: dict[int, float] = {}
        self.regressions: list[str] = []
        self.errors: list[str] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)

    def start(self) -> Poller:
        self._thread.start()
        return self

    def stop(self) -> Poller:
        self._stopped.set()
        self._thread.join()
        return self

    @property
    def answers(self) -> int:
        return sum(self.statuses.values())

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        listing = f"{LISTING}?device_id={quote(','.join(self._devices), safe=',')}"
        number = 0
        while not self._stopped.is_set():
            try:
                device = self._devices[number % len(self._devices)]
                self._ask(connection, f"/v0/devices/{quote(device, safe='')}", {})
                self._ask(connection, listing, {"If-None-Match": self._tag} if self._tag else {})
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                connection.close()
                self._stopped.wait(0.2)
            number += 1
            self._stopped.wait(self._pause)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, path: str, more: dict[str, str]) -> None:
        connection.request("GET", path, headers=self._headers | more)
        answer = connection.getresponse()
        body = answer.read()
        self.statuses[answer.status] += 1
        if answer.status not in (200, 304):
            return
        version = answer.headers["X-View-Version"]
        if not self.versions or self.versions[-1] != version:
            self.versions.append(version)
            self.seen_at.append(time.time())
        self._see_offsets(answer.headers["X-Applied-Offsets"])
        if answer.status == 304:
            return
        self._tag = answer.headers.get("ETag", self._tag)
        found = json.loads(body)
        if "readings" in found:
            self._see_readings(found["device_id"], found["readings"])

    def _see_offsets(self, header: str) -> None:
        for pair in header.split(","):
            partition, offset = map(int, pair.split(":"))
            before = self._offsets.get(partition, -1)
            if offset < before:
                self.regressions.append(f"partition {partition}: {offset} after {before}")
            if offset > before:
                now = time.monotonic()
                pause = now - self._news_at.get(partition, now)
                self.pauses[partition] = max(pause, self.pauses.get(partition, 0.0))
                self._news_at[partition] = now
            self._offsets[partition] = offset

    def _see_readings(self, device: str, readings: int) -> None:
        if readings < self._readings[device]:
            self.regressions.append(f"{device}: {readings} after {self._readings[device]}")
        self._readings[device] = readings
