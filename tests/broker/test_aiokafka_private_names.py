"""Every private name of aiokafka that kafka_io uses, held to what it was.

An upgrade that moves one goes red here, with the name and who uses it, before a worker would
skip, double or never fetch a reading.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.metadata
import inspect
import re
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, AIOKafkaProtocol
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.producer import sender
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator
from aiokafka.producer.sender import Sender
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.api import RequestStruct
from aiokafka.protocol.transaction import (
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
)
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from kafka_io import logins
from kafka_io.transactional_producer import BACKOFF_SECONDS, shorten_backoff
from tests.broker.private_names import Method, check_method, check_source

ROOT = Path(__file__).parents[2]
ANSWERS = "kafka_io/batches/large_responses.py"
FETCHER = "kafka_io/batches/fetcher.py"
RECORD_SET = "kafka_io/batches/checksums.py"
READER = "kafka_io/batches/reader.py"
TRANSACTIONS = "kafka_io/transactional_producer.py"
LOGINS = "kafka_io/logins.py"
PARTITION = TopicPartition("topic", 3)

METHODS = [
    Method(PartitionRecords, "_consume_aborted_up_to", ("batch_offset",), FETCHER),
    Method(PartitionRecords, "_contains_abort_marker", ("next_batch",), FETCHER),
    Method(
        Fetcher,
        "fetched_records",
        ("partitions", "timeout", "max_records"),
        FETCHER,
        is_coroutine=True,
    ),
    Method(Fetcher, "_create_fetch_waiter", (), FETCHER),
    Method(
        Fetcher,
        "_proc_fetch_request",
        ("assignment", "node_id", "request"),
        FETCHER,
        is_coroutine=True,
    ),
    Method(FetchResult, "getall", ("max_records",), FETCHER),
    Method(AIOKafkaClient, "fetch_all_metadata", (), READER, is_coroutine=True),
    Method(
        MessageAccumulator,
        "add_batch",
        ("builder", "tp", "timeout"),
        TRANSACTIONS,
        is_coroutine=True,
    ),
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_method_is_called_as_we_call_it(method: Method) -> None:
    check_method(method)


def test_a_login_asks_for_its_password_where_we_read_it_again() -> None:
    check_source(logins._plain, LOGINS, "sasl_plain_password=self._sasl_plain_password")
    check_source(logins._scram, LOGINS, "sasl_plain_password=self._sasl_plain_password")


def fetched(isolation_level: int = fetcher.READ_COMMITTED) -> PartitionRecords:
    """What aiokafka makes of one partition's answer, here of three records at 10, 11, 12."""
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=999
    )
    for number in range(3):
        builder.append(number, timestamp=50 + number, key=None, value=b"%d" % number, headers=[])
    batch = bytearray(builder.build())
    batch[:8] = (10).to_bytes(8, "big")
    return PartitionRecords(
        PARTITION, MemoryRecords(bytes(batch)), [], 10, None, None, True, isolation_level
    )


def test_partition_records_have_the_attributes_we_read() -> None:
    found = fetched()
    assert found._tp is PARTITION, "PartitionRecords._tp"
    assert isinstance(found._records, MemoryRecords), "PartitionRecords._records"
    assert found._aborted_producers == set(), "PartitionRecords._aborted_producers"
    assert found._isolation_level == fetcher.READ_COMMITTED, "PartitionRecords._isolation_level"
    assert found.next_fetch_offset == 10, "PartitionRecords.next_fetch_offset"


def test_the_generator_of_partition_records_is_where_we_drop_it() -> None:
    found = fetched()
    assert inspect.isgenerator(found._records_iterator), "PartitionRecords._records_iterator"


def test_a_batch_has_the_attributes_we_read() -> None:
    batch = fetched()._records.next_batch()
    assert batch.validate_crc() is True
    assert (batch.base_offset, batch.next_offset) == (10, 13)
    assert (batch.is_control_batch, batch.is_transactional) == (False, False)
    assert batch.producer_id is not None, "-1, or None in old formats: never another word for none"
    assert batch.max_timestamp == 52
    assert [(r.offset, r.timestamp, r.key, r.value) for r in batch] == [
        (10, 50, None, b"0"),
        (11, 51, None, b"1"),
        (12, 52, None, b"2"),
    ]


def test_the_c_parser_is_in_use() -> None:
    assert "_crecords" in DefaultRecordBatch.__module__, (
        "aiokafka parses in Python here: a tenth of the rate"
    )


def test_our_loop_over_batches_is_still_aiokafkas() -> None:
    check_source(
        PartitionRecords._unpack_records,
        FETCHER,
        "while records.has_next(): next_batch = records.next_batch()",
        "if self._check_crcs and not next_batch.validate_crc():",
        "self._isolation_level == READ_COMMITTED and next_batch.producer_id is not None",
        "self._consume_aborted_up_to(next_batch.base_offset)",
        "next_batch.is_control_batch and self._contains_abort_marker(next_batch)",
        "self._aborted_producers.discard(next_batch.producer_id)",
        "next_batch.is_transactional and next_batch.producer_id in self._aborted_producers",
        "if next_batch.is_control_batch: self.next_fetch_offset = next_batch.next_offset",
        "if record.offset < self.next_fetch_offset:",
    )
    assert (fetcher.READ_UNCOMMITTED, fetcher.READ_COMMITTED) == (0, 1)


def test_a_connection_reads_as_our_reader_is_read() -> None:
    check_source(
        AIOKafkaConnection.connect,
        ANSWERS,
        "self._reader, self._writer, self._protocol = reader, writer, protocol",
    )
    check_source(
        AIOKafkaConnection._read,
        ANSWERS,
        "resp = await reader.readexactly(4)",
        "resp = await reader.readexactly(size)",
        "self._handle_frame(resp)",
    )
    check_source(AIOKafkaConnection._handle_frame, ANSWERS, "resp = io.BytesIO(resp)")
    assert issubclass(AIOKafkaProtocol, asyncio.StreamReaderProtocol), f"{ANSWERS} hands on to it"
    assert not hasattr(asyncio.StreamReader, "__slots__"), "its class is swapped"


def test_a_fetch_goes_over_the_connection_that_we_look_up() -> None:
    check_source(AIOKafkaClient.send, FETCHER, "future = self._conns[(node_id, group)].send(")
    group = inspect.signature(AIOKafkaClient.send).parameters["group"]
    assert group.default is ConnectionGroup.DEFAULT
    check_source(Fetcher._proc_fetch_request, FETCHER, "await self._client.send(node_id, request)")


def test_a_fetcher_parses_what_it_was_sent_by_the_name_we_set() -> None:
    check_source(Fetcher._proc_fetch_request, RECORD_SET, "records = MemoryRecords(part_data[-1])")


def test_a_fetch_result_is_used_up_by_one_iteration() -> None:
    # It iterates over whatever stands in _partition_records, then takes its next_fetch_offset.
    check_source(
        FetchResult.getall,
        FETCHER,
        "if not self.check_assignment(tp) or not self.has_more(): return []",
        "for msg in self._partition_records:",
        "else: self._update_position() self._partition_records = None",
    )
    check_source(
        FetchResult._update_position,
        FETCHER,
        "state.consumed_to(self._partition_records.next_fetch_offset)",
    )
    check_source(
        FetchResult.check_assignment,
        FETCHER,
        "if position != self._partition_records.next_fetch_offset: return_result = False",
    )


def test_the_fetcher_keeps_results_by_partition_and_waits_by_future() -> None:
    check_source(
        Fetcher.__init__,
        FETCHER,
        "self._records = collections.OrderedDict()",
        "self._closed = False",
        "self._subscriptions.register_fetch_waiters(self._fetch_waiters)",
    )
    check_source(
        Fetcher.fetched_records,
        FETCHER,
        "if self._subscriptions.reassignment_in_progress:"
        " await self._subscriptions.wait_for_assignment()",
        "records = res_or_error.getall(max_records)",
        "waiter.result()",
    )
    check_source(Fetcher._create_fetch_waiter, FETCHER, "self._fetch_waiters.add(fut)")


def test_a_producer_is_dropped_by_its_sender_and_its_client() -> None:
    used_by = "kafka_io/transactional_producer.py"
    check_source(
        AIOKafkaProducer.stop, used_by, "self._closed = True", "await self._sender.close()"
    )
    check_source(Sender.close, used_by, "self._sender_task.cancel()")


def test_a_fetch_is_a_task_that_may_be_called_off() -> None:
    check_source(
        Fetcher._fetch_requests_routine,
        FETCHER,
        "self._proc_fetch_request(assignment, node_id, request)",
        "has_new_data = any(fut.result() for fut in done_pending)",
    )
    check_source(
        Fetcher._proc_fetch_request, FETCHER, "except asyncio.CancelledError:", "return False"
    )
    assert fetched()._records.size_in_bytes() > 0, "MemoryRecords.size_in_bytes"


def test_a_consumers_fetcher_is_made_at_start_from_two_attributes() -> None:
    used_by = f"{FETCHER}, which sets them before start"
    check_source(
        AIOKafkaConsumer.__init__,
        used_by,
        "self._isolation_level = isolation_level",
        "self._fetch_max_wait_ms = fetch_max_wait_ms",
    )
    check_source(
        AIOKafkaConsumer.start,
        used_by,
        "self._fetcher = Fetcher(",
        "isolation_level=self._isolation_level",
        "fetch_max_wait_ms=self._fetch_max_wait_ms",
    )
    assert "_client" in inspect.getsource(AIOKafkaConsumer.__init__), f"{READER} uses it"


def test_a_producers_batches_are_sent_as_we_send_them() -> None:
    found = list(inspect.signature(AIOKafkaProducer.send_batch).parameters)
    assert found == ["self", "batch", "topic", "partition"], f"send_batch takes {found}"


def test_the_commit_still_does_not_look_at_failed_batches() -> None:
    # If it ever does, awaiting each send in stream_app/changelog/writer.py could go.
    check_source(
        AIOKafkaProducer.commit_transaction,
        "stream_app/changelog/writer.py",
        "self._txn_manager.committing_transaction() await asyncio.shield("
        " self._txn_manager.wait_for_transaction_end(), )",
    )


def test_the_version_is_the_one_this_was_read_from() -> None:
    assert importlib.metadata.version("aiokafka") == "0.14.0", (
        "read aiokafka's consumer/fetcher.py again, then change this line"
    )


ROOMS = ("kafka_io", "stream_app", "api", "producer", "operations", "local_stack", "cli")


def test_no_other_file_uses_private_names_of_aiokafka() -> None:
    private = re.compile(r"(?:connection|consumer|fetched|fetcher|_client|producer)\._[a-z]\w+")
    allowed = {ANSWERS, FETCHER, LOGINS, READER, TRANSACTIONS}
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if str(path.relative_to(ROOT)) not in allowed and "aiokafka" in imports(path)
        for match in private.finditer(path.read_text())
    }
    assert not found, f"private names belong into {sorted(allowed)}: {found}"


def imports(path: Path) -> set[str]:
    """The top-level names of what a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_the_pause_between_two_transactions_is_read_where_we_set_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "BACKOFF_OVERRIDE", 0.02)
    shorten_backoff()
    assert sender.BACKOFF_OVERRIDE == BACKOFF_SECONDS
    source = inspect.getsource(sender.AddPartitionsToTxnHandler.handle_response)
    assert "return BACKOFF_OVERRIDE" in source, (
        "kafka_io/transactional_producer.py sets it for this"
    )


def test_a_partition_joins_a_transaction_as_we_have_it_join() -> None:
    check_source(
        AIOKafkaProducer.begin_transaction, TRANSACTIONS, "self._txn_manager.begin_transaction()"
    )
    check_source(
        TransactionManager.maybe_add_partition_to_txn,
        TRANSACTIONS,
        "if tp not in self._txn_partitions: self._pending_txn_partitions.add(tp)"
        " self.notify_task_waiter()",
    )
    check_source(
        sender.AddPartitionsToTxnHandler.handle_response,
        TRANSACTIONS,
        "if error_type is Errors.NoError:",
        "txn_manager.partition_added(tp)",
    )
    check_source(TransactionManager, TRANSACTIONS, "self.state = TransactionState.UNINITIALIZED")
    for failing in (TransactionManager.error_transaction, TransactionManager.fatal_error):
        check_source(failing, TRANSACTIONS, "self._transaction_waiter.set_exception(exc)")
    check_source(
        TransactionManager.wait_for_transaction_end, TRANSACTIONS, "return self._transaction_waiter"
    )
    assert not hasattr(TransactionManager, "__slots__"), "its class is swapped"


def test_a_batch_outside_of_transactions_goes_as_we_have_it_go() -> None:
    check_source(
        AIOKafkaProducer.__init__,
        TRANSACTIONS,
        "self._message_accumulator = MessageAccumulator(",
        "self._request_timeout_ms = request_timeout_ms",
    )
    check_source(
        BatchBuilder.__init__,
        TRANSACTIONS,
        "batch_size, compression_type, *, is_transactional=0",
        "is_transactional=is_transactional",
    )
    # The one place that would ask for a transaction, which ours passes over outside of one.
    check_source(
        MessageAccumulator._append_batch,
        TRANSACTIONS,
        "self._txn_manager.maybe_add_partition_to_txn(tp)",
    )
    # It takes the producer's id, epoch and sequence as every batch does.
    check_source(
        MessageAccumulator._pop_batch,
        TRANSACTIONS,
        "if self._txn_manager is not None and not_retry:",
        "seq = self._txn_manager.sequence_number(batch.tp)",
        "producer_epoch=self._txn_manager.producer_epoch",
    )


def test_the_epoch_of_a_producer_stays_from_one_transaction_to_the_next() -> None:
    """With EndTxn 5 it moves with each: derive docs/SINGLE_BATCHES.md again then."""
    keys = {
        request.API_KEY
        for request in (InitProducerIdRequest, EndTxnRequest, AddPartitionsToTxnRequest)
    }
    spoken = {
        (struct.API_KEY, struct.API_VERSION)
        for struct in RequestStruct.__subclasses__()
        if struct.API_KEY in keys
    }
    assert spoken == {(key, 0) for key in keys}
