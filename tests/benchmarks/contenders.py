"""Who is measured: how each is started, where its totals go, and how they are read there."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.views import OnOff
from local_stack.broker.java import find_java
from tests.benchmarks.builds import PEERS, built_java, built_quix


class Run(NamedTuple):
    """What one run of a contender works on; `group` is new for each."""

    servers: str
    topic: str
    partitions: int
    group: str
    directory: Path


class Contender(NamedTuple):
    """Somebody who does the job; `fetching` is in its log once it fetches or a little later."""

    name: str
    command: Callable[[Run], list[str]]
    output_topic: Callable[[Run], str]
    fetching: str
    key_of: Callable[[str], bytes]
    total_of: Callable[[bytes], int]
    #: Whether it makes its output topic itself.
    makes_topic: bool = True
    #: Whether it takes a record's key for the device.
    by_key: bool = False
    #: Of ours alone: what a new view version is born with; None: it is none of ours.
    series: OnOff | None = None
    #: What of an output key is the device.
    device_key_of: Callable[[bytes], bytes] = lambda key: key
    #: A slow one is given the first readings alone: as many as it does in half a minute.
    most_readings: int = sys.maxsize

    def given(self, readings: int) -> int:
        """Return how many readings it is given of so many."""
        return min(readings, self.most_readings)


def _of_ours(value: bytes) -> int:
    return int(value.split(b" ")[2])


OURS = Contender(
    "ours",
    lambda run: [sys.executable, "-m", "stream_app"],
    lambda run: DEVICE_TOTALS.changelog(1).name,
    "working on",
    str.encode,
    _of_ours,
    # Totals by device, as all the others.
    series="off",
)
#: Ours with both views; its output is the series, by the end of which the totals are long there.
WITH_SERIES = OURS._replace(
    name="with-series",
    output_topic=lambda run: ENERGY_SERIES.changelog(1).name,
    total_of=lambda value: int(ENERGY_SERIES.amount(value)[0]),
    series="on",
    device_key_of=lambda key: key.split(b"\0", 1)[0],
)


def _streams(name: str, guarantee: str) -> Contender:
    def command(run: Run) -> list[str]:
        libs = built_java()
        options = ["-Xmx2g", "-XX:+UseParallelGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        arguments = [run.servers, run.topic, run.group, guarantee, str(run.directory)]
        return [find_java(), *options, "-cp", f"{libs}/*", "StreamsTotals", *arguments]

    return Contender(
        name,
        command,
        lambda run: f"{run.group}-totals-changelog",
        "fetching",
        str.encode,
        lambda value: int(struct.unpack(">d", value)[0]),
        by_key=True,
    )


STREAMS_EOS = _streams("kafka-streams-eos", "exactly_once_v2")
STREAMS_ALO = _streams("kafka-streams-alo", "at_least_once")
LOOP = Contender(
    "confluent-loop",
    lambda run: [
        sys.executable,
        str(PEERS / "confluent_loop.py"),
        run.servers,
        run.topic,
        run.group,
        f"{run.group}-totals",
    ],
    lambda run: f"{run.group}-totals",
    "fetching",
    str.encode,
    int,
    makes_topic=False,
)
QUIX = Contender(
    "quix",
    lambda run: [
        str(built_quix()),
        str(PEERS / "quix_streams.py"),
        run.servers,
        run.topic,
        run.group,
        str(run.directory),
    ],
    lambda run: f"changelog__{run.group}--{run.topic}--default",
    "fetching",
    # The key of the state that belongs to a record's key is JSON.
    lambda device: f'{device}|"total"'.encode(),
    int,
    by_key=True,
    most_readings=300_000,
)
FAUST = Contender(
    "faust",
    lambda run: [
        sys.executable,
        str(PEERS / "stock_faust.py"),
        run.servers,
        run.topic,
        run.group,
        str(run.partitions),
        str(run.directory),
    ],
    lambda run: f"{run.group}-totals-changelog",
    "fetching",
    str.encode,
    int,
    most_readings=75_000,
)
PEERS_BY_NAME = {c.name: c for c in (STREAMS_EOS, STREAMS_ALO, LOOP, QUIX, FAUST, WITH_SERIES)}
