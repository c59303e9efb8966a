"""The same job on Faust as it comes: an agent, a table in RocksDB, a changelog; at-least-once.

Arguments: servers, topic, app id, partitions, data directory.

It does less than ours: at-least-once (after a crash a sum may count readings twice), readings
are decoded but not validated, a bad record crashes the agent. Configured for throughput as far as
Faust's own settings go:

- uvloop; values are decoded by msgspec, which is several times faster than a `faust.Record`;
- RocksDB through rocksdict, keys as bytes;
- no leader topic, no web server, no standby tables: one worker needs none of them;
- large fetches, a large stream buffer, and a producer that waits 50 ms for large batches: Faust
  writes a changelog record for each reading, since it has no cache of changed sums.

The clock begins at its first record, later than its first fetch: in its favour.
"""

from __future__ import annotations

import sys

import mode.loop

mode.loop.use("uvloop")

import faust  # noqa: E402
import msgspec  # noqa: E402


class Reading(msgspec.Struct, gc=False):
    timestamp: str
    device_id: str
    energy_consumed: int
    location: str


def main(servers: str, topic: str, app_id: str, partitions: str, directory: str) -> None:
    app = faust.App(
        app_id,
        broker=f"kafka://{servers}",
        store="rocksdb://",
        datadir=directory,
        topic_partitions=int(partitions),
        topic_disable_leader=True,
        table_standby_replicas=0,
        web_enabled=False,
        worker_redirect_stdouts=False,
        consumer_max_fetch_size=4 << 20,
        stream_buffer_maxsize=65_536,
        stream_wait_empty=False,
        producer_linger=0.05,
        producer_max_batch_size=512 << 10,
    )
    totals = app.Table("totals", default=int, key_type=bytes, value_type=int)
    readings = app.topic(topic, value_type=bytes, value_serializer="raw")
    decode = msgspec.json.Decoder(Reading).decode

    @app.agent(readings)  # type: ignore[untyped-decorator]
    async def add(stream: faust.StreamT[bytes]) -> None:
        begun = False
        async for value in stream:
            if not begun:
                begun = True
                print("fetching", flush=True)
            reading = decode(value)
            totals[reading.device_id.encode()] += reading.energy_consumed

    worker = faust.Worker(app, loglevel="warning")
    # The spinner has every logger make a record of whatever it would say at DEBUG.
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
