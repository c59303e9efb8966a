"""The least that a FastAPI service does for a point read: the yardstick of http_rates.py.

`BARE_TOKEN=secret python -m tests.benchmarks.bare_fastapi PORT DEVICES`

uvicorn with uvloop and httptools, as ours; one route, its parameters declared as FastAPI's
documentation has it, its answer a JSONResponse, which is the quickest way. The token is checked
as ours is: SHA-256, compared in constant time. It follows nothing: totals are made once, and
read from one dict; there are no bounds, metrics or headers about a view.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NamedTuple

import uvicorn
from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse

from local_stack.ports import free_port

START_SECONDS = 30


def create_app(token: str, devices: int) -> FastAPI:
    """Build the service."""
    known = hashlib.sha256(token.encode()).digest()
    totals = {f"device_{number}": number for number in range(devices)}
    app = FastAPI()

    @app.get("/v0/devices/{device_id}")
    async def read(device_id: str, authorization: Annotated[str, Header()] = "") -> JSONResponse:
        secret = authorization.removeprefix("Bearer ")
        if not hmac.compare_digest(known, hashlib.sha256(secret.encode()).digest()):
            raise HTTPException(403)
        if device_id not in totals:
            raise HTTPException(404)
        total = totals[device_id]
        return JSONResponse(
            {
                "device_id": device_id,
                "total_energy_consumed": total,
                "total_energy_consumed_exact": str(total),
                "readings": 1,
            }
        )

    return app


class Service(NamedTuple):
    """The service as a process, and where it listens."""

    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def running(token: str, devices: int) -> Iterator[Service]:
    """Start it and wait until it answers; ends it."""
    port = free_port()
    command = [sys.executable, "-m", __name__, str(port), str(devices)]
    process = subprocess.Popen(command, env=os.environ | {"BARE_TOKEN": token})
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the bare service does not answer")
            time.sleep(0.1)
        yield Service(port, process)
    finally:
        process.terminate()
        process.wait(15)


def answers(port: int) -> bool:
    """Whether somebody answers there, whatever it is."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


if __name__ == "__main__":
    uvicorn.run(
        create_app(os.environ["BARE_TOKEN"], int(sys.argv[2])),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
