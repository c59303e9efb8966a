"""The processes of a running API of several, and connections to one of them."""

from __future__ import annotations

import http.client
import json
from typing import Any

import psutil

from tests.fault.server import ApiProcess
from tests.kafka import wait_until
from tests.pids import parts_of

START_SECONDS = 40


class Several:
    """What runs below an API process that was started with API_PROCESSES=N."""

    def __init__(self, api: ApiProcess) -> None:
        self._api = api
        self._headers = {"Authorization": f"Bearer {api.token}"}

    def parts(self) -> dict[str, int]:
        """The process id of each part by its name."""
        assert self._api.pid is not None
        return parts_of(self._api.pid)

    def wait_serving(self, count: int) -> list[int]:
        """Return the HTTP processes once so many are there and answer reads."""
        wait_until(lambda: len(self.serving()) == count, "all run", START_SECONDS)
        pids = self.serving()
        for pid in pids:
            wait_until(lambda pid=pid: self.is_ready(pid), f"{pid} is ready", START_SECONDS)
        return pids

    def serving(self) -> list[int]:
        return [pid for name, pid in sorted(self.parts().items()) if name.startswith("http")]

    def is_ready(self, pid: int) -> bool:
        try:
            with Asked(self, pid) as asked:
                return asked.get("/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def connected(self, pid: int) -> http.client.HTTPConnection:
        """Return a connection that this process has accepted."""
        opened: list[http.client.HTTPConnection] = []
        found = None
        try:
            while found is None and len(opened) < 50:
                connection = http.client.HTTPConnection("127.0.0.1", self._api.port, timeout=90)
                opened.append(connection)
                connection.request("GET", "/health")
                connection.getresponse().read()
                port = connection.sock.getsockname()[1]
                peers = (each.raddr for each in psutil.Process(pid).net_connections("tcp"))
                if any(peer and peer.port == port for peer in peers):
                    found = connection
        except psutil.Error as error:
            raise ConnectionRefusedError(f"process {pid} is gone: {error}") from None
        finally:
            for each in opened:
                if each is not found:
                    each.close()
        if found is None:
            raise ConnectionRefusedError(f"process {pid} accepts nothing")
        return found

    @property
    def headers(self) -> dict[str, str]:
        return self._headers


class Asked:
    """One process, asked over one connection; a context manager."""

    def __init__(self, several: Several, pid: int) -> None:
        self._several = several
        self._connection = several.connected(pid)

    def get(self, path: str) -> tuple[int, Any, http.client.HTTPMessage]:
        self._connection.request("GET", path, headers=self._several.headers)
        return self._answer()

    def post(
        self, path: str, body: str, **headers: str
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        self._connection.request("POST", path, body.encode(), {**self._several.headers, **headers})
        return self._answer()

    def _answer(self) -> tuple[int, Any, http.client.HTTPMessage]:
        answer = self._connection.getresponse()
        said = answer.read()
        is_json = "json" in (answer.getheader("Content-Type") or "")
        return answer.status, json.loads(said) if is_json else said.decode(), answer.headers

    def __enter__(self) -> Asked:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
