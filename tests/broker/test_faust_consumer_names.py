"""How Faust's consumer uses the names that faust_adapter/consumer.py overrides.

Beside test_faust_private_names.py, which holds the names themselves.
"""

from __future__ import annotations

import inspect

from faust import App
from faust.streams import Stream
from faust.transport import consumer as consumer_module
from faust.transport.consumer import ConsumerThread, ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import ConsumerMessage
from mode import Service

from tests.broker.private_names import check_source

APP = "stream_app/faust_adapter/app.py"
CONSUMER = "stream_app/faust_adapter/consumer.py"


def test_the_transport_is_ours_and_makes_our_consumer() -> None:
    check_source(App.transport.fset, APP, "self._transport = transport")  # type: ignore[attr-defined]
    assert driver.Transport.Consumer is driver.Consumer
    check_source(
        driver.Consumer._new_consumer_thread,
        CONSUMER,
        "return AIOKafkaConsumerThread(self, loop=self.loop, beacon=self.beacon)",
    )
    check_source(ThreadDelegateConsumer.__init__, CONSUMER, "self._new_consumer_thread()")


def test_the_aiokafka_consumer_is_made_before_it_starts() -> None:
    thread = driver.AIOKafkaConsumerThread
    check_source(thread._create_consumer, CONSUMER, "self._create_worker_consumer(transport)")
    check_source(
        thread.on_start, CONSUMER, "self._create_consumer(", "await self._consumer.start()"
    )
    check_source(
        thread._fetch_records,
        CONSUMER,
        "await fetcher.fetched_records( active_partitions, timeout=timeout,",
    )
    check_source(thread.getmany, CONSUMER, "self.call_thread( self._fetch_records,")


def test_the_drain_that_we_replace_is_still_the_one() -> None:
    check_source(
        consumer_module.Consumer._drain_messages,
        CONSUMER,
        "while not (consumer_should_stop() or fetcher_should_stop()):",
        "getmany(timeout=1.0)",
        "await self.wait_first( callback(message), self.suspend_flow.wait() )",
        "set_read_offset(tp, offset)",
        "except self.consumer_stopped_errors: if self.transport.app.should_stop:",
        "except asyncio.CancelledError: if self.transport.app.should_stop:",
    )
    check_source(
        consumer_module.Consumer.getmany,
        CONSUMER,
        "records, active_partitions = await self._wait_next_records(timeout)",
        "if self.flow_active",
        "self._buffered_partitions",
    )
    check_source(consumer_module.Fetcher._fetcher, CONSUMER, "consumer._drain_messages(self)")
    assert "_stopped" in inspect.getsource(Service.__init__)


def test_what_is_committed_is_asked_of_one_method_per_partition() -> None:
    check_source(
        consumer_module.Consumer._filter_committable_offsets,
        CONSUMER,
        "self._new_offset(tp)",
    )
    check_source(consumer_module.Consumer._filter_tps_with_pending_acks, CONSUMER, "self._acked")
    check_source(
        consumer_module.Consumer.__init__,
        CONSUMER,
        "self._acked = defaultdict(list)",
        "self._acked_index = defaultdict(set)",
        "self._read_offset = defaultdict(lambda: None)",
        "self._buffered_partitions = set()",
        "self.suspend_flow = Event()",
    )


def test_faust_forgets_acks_before_it_could_commit_them() -> None:
    # The reason for on_partitions_revoked; if it is ever mended, ours can be looked at again.
    source = inspect.getsource(consumer_module.Consumer.on_partitions_revoked)
    assert source.index("self._acked.pop(tp, None)") < source.index("_on_partitions_revoked")


def test_a_stream_gives_acks_only_while_they_are_enabled() -> None:
    assert Stream.enable_acks is True or "enable_acks" in inspect.getsource(Stream.__init__)
    # Of the module: that of a class is parsed, which Python 3.11 at times cannot (issue 106905).
    module = inspect.getsource(inspect.getmodule(Stream))  # type: ignore[arg-type]
    assert "self.enable_acks" in module, "stream_app/agent.py switches it off"


def test_generations_are_counted_where_we_compare_them() -> None:
    assert hasattr(App, "consumer_generation_id") or "consumer_generation_id" in inspect.getsource(
        App
    ), f"{CONSUMER} drops chunks of an older generation by it"
    assert "generation_id" in inspect.signature(ConsumerMessage).parameters


def test_the_thread_runs_calls_in_its_own_loop() -> None:
    assert hasattr(ConsumerThread, "getmany")
    assert hasattr(driver.AIOKafkaConsumerThread, "call_thread")
