"""X23: the API's Produce requests arrive, and their answers are lost."""

from __future__ import annotations

import pytest

from tests.fault.conftest import ApiFactory
from tests.fault.fleet import READINGS
from tests.fault.http_writer import HttpWriter
from tests.fault.pipeline import Pipeline
from tests.fault.proxy import HOST, PRODUCE, Proxy
from tests.kafka import wait_until

LOST = 6
GIVE_UP_SECONDS = 4
ALIVE_SECONDS = 60


@pytest.mark.timeout(180)
def test_x23_rows_whose_answers_are_lost_are_in_the_log_once_and_truly_counted(
    proxied_pipeline: Pipeline, proxy: Proxy, api_factory: ApiFactory
) -> None:
    pipeline = proxied_pipeline
    pipeline.workers.add()
    pipeline.fleet.oracle.others_publish = True
    api = api_factory(
        pipeline,
        KAFKA_BOOTSTRAP_SERVERS=f"{HOST}:{proxy.port}",
        API_DELIVERY_TIMEOUT_SECONDS=str(GIVE_UP_SECONDS),
    )
    api.start()
    writer = HttpWriter(api.port, api.token).start()

    def goes_on() -> None:
        before = writer.accepted()
        wait_until(lambda: writer.accepted() > before + 20, "rows are accepted", ALIVE_SECONDS)

    def is_told(status: int) -> None:
        before = writer.statuses()[status]
        wait_until(lambda: writer.statuses()[status] > before, f"{status} told", ALIVE_SECONDS)

    goes_on()
    for times in range(1, LOST + 1):
        proxy.lose_answers(PRODUCE)
        wait_until(lambda times=times: proxy.lost[PRODUCE] == times, "lost", ALIVE_SECONDS)
        goes_on()
    lost_alone = writer.statuses()
    proxy.lose_answers(PRODUCE, 1_000_000)  # until somebody gives up: it may be there, or not
    is_told(504)
    proxy.cut()  # nobody can have been sent anything
    is_told(503)
    proxy.heal()
    goes_on()
    writer.stop()
    pipeline.drain()
    found = writer.verdict(pipeline.kafka.each(READINGS))
    pipeline.finish(lost=proxy.lost[PRODUCE], **found)
    assert found["wrong"] == []
    assert lost_alone.keys() == {202}, "a single lost answer is nobody's business"
    assert "Traceback" not in api.log
