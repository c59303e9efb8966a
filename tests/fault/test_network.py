"""X8, X9: the network between one worker and the broker is cut, silent, slow, or loses answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.fault.follower import CHANGELOG
from tests.fault.pipeline import SESSION_SECONDS, Pipeline
from tests.fault.proxy import (
    ADD_PARTITIONS,
    END_TRANSACTION,
    FETCH,
    HEARTBEAT,
    HOST,
    OFFSET_COMMIT,
    PRODUCE,
    Proxy,
)
from tests.fault.series_checker import SERIES
from tests.kafka import wait_until

LOST = (PRODUCE, ADD_PARTITIONS, END_TRANSACTION, OFFSET_COMMIT, HEARTBEAT, FETCH)
ALIVE_SECONDS = 60


def start_behind(pipeline: Pipeline, proxy: Proxy) -> None:
    """One worker, which reaches the broker through the proxy only."""
    pipeline.workers.add(KAFKA_BOOTSTRAP_SERVERS=f"{HOST}:{proxy.port}")
    pipeline.fleet.start()
    pipeline.wait_progress()


@pytest.mark.timeout(240)
def test_x8_a_cut_network_loses_and_doubles_nothing(
    proxied_pipeline: Pipeline, proxy: Proxy
) -> None:
    pipeline = proxied_pipeline
    start_behind(pipeline, proxy)
    pauses = []
    cuts: list[Callable[[], None]] = [
        proxy.cut,
        proxy.silence,
        partial(proxy.silence, requests=False),
        partial(proxy.silence, answers=False),
    ]
    for cut in cuts:
        pipeline.wait_progress(500, seconds=ALIVE_SECONDS)
        cut()
        time.sleep(2 * SESSION_SECONDS)  # the length is the test
        proxy.heal()
        began = time.monotonic()
        pipeline.wait_progress(2_000, seconds=ALIVE_SECONDS)
        pauses.append(round(time.monotonic() - began, 1))
    pipeline.finish(seconds_to_go_on=pauses)


@pytest.mark.timeout(240)
def test_x9_lost_and_late_answers_change_no_total(proxied_pipeline: Pipeline, proxy: Proxy) -> None:
    pipeline = proxied_pipeline
    start_behind(pipeline, proxy)
    for api_key in LOST:
        proxy.lose_answers(api_key, 3)
        wait_until(
            lambda api_key=api_key: proxy.lost[api_key] == 3,
            f"three answers to {api_key} are lost",
            ALIVE_SECONDS,
        )
        pipeline.wait_progress(500, seconds=ALIVE_SECONDS)
    for api_key in (PRODUCE, END_TRANSACTION):
        proxy.delay(api_key, 1.0)
        pipeline.wait_progress(100, seconds=ALIVE_SECONDS)
        proxy.heal()
    pipeline.finish(lost=dict(proxy.lost))


@pytest.mark.timeout(180)
def test_x9_a_commit_that_comes_too_late_is_none(proxied_pipeline: Pipeline, proxy: Proxy) -> None:
    """Kafka gives the transaction up while its commit is on the way: the store must not have it."""
    pipeline = proxied_pipeline
    start_behind(pipeline, proxy)
    (worker,) = pipeline.workers.all
    for _ in range(2):
        ended, held = len(worker.exit_codes), proxy.held[END_TRANSACTION]
        proxy.hold(END_TRANSACTION)
        wait_until(lambda held=held: proxy.held[END_TRANSACTION] > held, "a commit is held")
        # Every open transaction has run into its timeout, whichever view's commit it is.
        for changelog in (CHANGELOG, SERIES):
            pipeline.kafka.settle(changelog)
        proxy.heal()
        wait_until(lambda ended=ended: len(worker.exit_codes) > ended, "refused", ALIVE_SECONDS)
        pipeline.wait_progress(500, seconds=ALIVE_SECONDS)
    pipeline.finish(ended=worker.exit_codes.copy())
    assert set(worker.exit_codes) == {75}
