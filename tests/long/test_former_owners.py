"""X4, X51, X52, of each so many rounds: `ROUNDS=20 pytest tests/long/test_former_owners.py`."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from aiokafka.protocol.transaction import InitProducerIdRequest

from contract.device_totals import DEVICE_TOTALS
from stream_app.changelog import fence as fence_module
from stream_app.changelog.fence import MOST_EPOCH
from stream_app.changelog.single_batches import SingleBatches
from stream_app.errors import RestartNeeded
from tests.broker.test_fenced_logs import (
    CHANGELOG,
    STAMPED,
    Trusted,
    commit,
    forgetful,
    refused_by_a_reader,
    started,
    test_x51_x52_a_former_owners_batch_that_a_log_takes_is_believed_by_nobody,
)
from tests.fault.conftest import PipelineFactory
from tests.fault.test_zombie import last_owned
from tests.kafka import Kafka, wait_until

__all__ = [
    "forgetful",
    "test_x51_x52_a_former_owners_batch_that_a_log_takes_is_believed_by_nobody",
]

ROUNDS = int(os.environ.get("ROUNDS", "3"))
#: Where it stops: within a transaction, and before it sends a batch that needs none.
STOPS = {"off": ("begun", "changelog_sent"), "auto": ("batch_made", "begun")}


@pytest.fixture(params=range(ROUNDS))
def round_number(request: pytest.FixtureRequest) -> int:
    """Begin another one with what is tested."""
    return int(request.param)


@pytest.mark.timeout(60 + 90 * ROUNDS)
@pytest.mark.parametrize("single_batches", ["auto", "off"])
def test_x4_a_former_owner_woken_after_several_takeovers_writes_nothing(
    own_kafka: Kafka, pipeline_factory: PipelineFactory, single_batches: str
) -> None:
    pipeline = pipeline_factory(own_kafka, STREAM_APP_SINGLE_BATCHES=single_batches)
    others = [pipeline.workers.add(), pipeline.workers.add()]
    pipeline.fleet.start()
    pipeline.wait_progress()
    steps = [STOPS[single_batches][number % 2] for number in range(ROUNDS)]
    zombie = pipeline.workers.add(failpoints=[f"{step}:20:stop" for step in steps])
    for ends, step in enumerate(steps):
        wait_until(zombie.is_stopped, f"it is stopped at {step}: {zombie.log[-800:]}", 90)
        for other in others:
            # Each is a takeover of all partitions by whoever is left, and back again.
            pipeline.workers.restart(other)
            pipeline.workers.wait_working([other])
        wait_until(
            lambda: set().union(*(last_owned(o.last_start) for o in others)) == set("0123"),
            "the others have all partitions",
            60,
        )
        pipeline.wait_progress(1_000)
        zombie.send(signal.SIGCONT)
        wait_until(lambda ends=ends: len(zombie.exit_codes) > ends, "the zombie has ended", 60)
        assert zombie.exit_codes[-1] == 75
    wait_until(zombie.is_working, "it works again", 60)
    pipeline.finish()


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("round_number")
@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "by the net alone"])
async def test_x51_an_owner_whose_id_has_run_out_of_epochs(
    own_kafka: Kafka, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log never hears of the next id's owner as the newer one."""
    # Or the coordinator would be asked after 5 s, and refuse it.
    monkeypatch.setattr(fence_module, "CONFIRM_SECONDS", 600.0)
    own_kafka.create_topic(CHANGELOG, 1, STAMPED)
    single: SingleBatches = Trusted(None)
    first = await started(own_kafka, single)
    await first.write(commit(first, -1, 0))
    if guarded:
        await run_out(first._producer, first.identity[0], MOST_EPOCH)
    older = await started(own_kafka, single)
    assert older.identity[0] == first.identity[0]
    assert (older.identity[1] > MOST_EPOCH) is guarded
    await older.write(commit(older, 0, 1))
    await run_out(older._producer, older.identity[0], None)
    newer = await started(own_kafka, single)
    assert newer.identity[0] != older.identity[0]
    assert newer.fence.is_open_to(older.identity) is not guarded
    await newer.write(commit(newer, 1, 9))
    if guarded:
        # A transaction: its coordinator knows another id.
        with pytest.raises(KafkaError):
            await older.write(commit(older, 1, 2))
        assert await refused_by_a_reader(own_kafka) == ""
        await newer.write(commit(newer, 9, 10))
    else:
        with pytest.raises(RestartNeeded, match="somebody else has written"):
            await older.write(commit(older, 1, 2))
        assert "goes back from applied offset 9 to 2" in await refused_by_a_reader(own_kafka)
        with pytest.raises(RestartNeeded, match="somebody else has written"):
            await newer.write(commit(newer, 9, 10))
    for writer in (first, older, newer):
        await writer.stop()


async def run_out(producer: Any, producer_id: int, epochs: int | None) -> None:
    """Have other producers start under its transactional id: so often, or until the id changes."""
    node = await producer.client.coordinator_lookup(1, DEVICE_TOTALS.transactional_id(1, 0))
    while True:
        request = InitProducerIdRequest(DEVICE_TOTALS.transactional_id(1, 0), 10_000)
        answer = await producer.client.send(node, request)
        if answer.error_code == 51:  # the last one is still aborted
            continue
        assert answer.error_code == 0
        if answer.producer_id != producer_id or answer.producer_epoch == epochs:
            return
