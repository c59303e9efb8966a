"""X7: the broker is restarted in order, again and again, under a fleet and an API's clients."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from local_stack.broker.process import LocalBroker
from tests.fault.conftest import ApiFactory, PipelineFactory
from tests.fault.fleet import READINGS
from tests.fault.http_writer import HttpWriter
from tests.kafka import Kafka, wait_until
from tests.shared_broker import QUICK_PROPERTIES

RESTARTS = int(os.environ.get("FAULT_RESTARTS", "1"))
"""Each takes 15 s and more: more of them are for the long run."""
ALIVE_SECONDS = 60


@pytest.mark.timeout(240)
def test_x7_restarts_of_the_broker_lose_nothing_and_no_202_is_false(
    broker_factory: Callable[..., LocalBroker],
    pipeline_factory: PipelineFactory,
    api_factory: ApiFactory,
) -> None:
    broker = broker_factory(properties=QUICK_PROPERTIES)
    with broker:
        pipeline = pipeline_factory(Kafka(broker.bootstrap_servers))
        pipeline.workers.add()
        pipeline.fleet.oracle.others_publish = True
        pipeline.fleet.start()
        # Shorter than a restart: rows that were handed over are given up, and said to be.
        api = api_factory(pipeline, API_DELIVERY_TIMEOUT_SECONDS="1")
        api.start()
        writer = HttpWriter(api.port, api.token).start()
        for _ in range(RESTARTS):
            before = writer.accepted()
            wait_until(
                lambda before=before: writer.accepted() > before + 20, api.log, ALIVE_SECONDS
            )
            pipeline.wait_progress(1_000, seconds=ALIVE_SECONDS)
            broker.stop(timeout_seconds=20)
            assert broker.exit_code in (0, 143), "it ended in order"
            broker.start()
            broker.wait_ready(ALIVE_SECONDS)
        pipeline.wait_progress(1_000, seconds=ALIVE_SECONDS)
        writer.stop()
        pipeline.drain()
        found = writer.verdict(pipeline.kafka.each(READINGS))
        pipeline.finish(restarts=RESTARTS, **found)
        assert found["wrong"] == []
        assert "Traceback" not in api.log
