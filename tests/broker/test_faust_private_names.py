"""Every private name of Faust (and mode) that stream_app/faust_adapter uses, held to what it was.

An upgrade that moves one would leave an override that is never called: a worker that fences
nothing, starts at the group's offset, or never consumes. It goes red here first.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from pathlib import Path
from typing import Any

import mode.worker
import pytest
from faust import App, Schema, Table
from faust.assignor.partition_assignor import PartitionAssignor
from faust.stores import rocksdb
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.drivers import aiokafka as driver

from stream_app.faust_adapter.app import ChunkApp, ChunkSchema
from stream_app.faust_adapter.assignor import KnownTopicsAssignor
from stream_app.faust_adapter.consumer import ChunkConsumer, ChunkThread, ChunkTransport
from stream_app.faust_adapter.recovery import FencedRecovery, FencedTableManager
from stream_app.faust_adapter.table import PartitionedStore, ViewTable
from stream_app.faust_adapter.worker import Worker
from tests.broker.private_names import Method, check_method, check_source, plain

ROOT = Path(__file__).parents[2] / "stream_app"
APP = "stream_app/faust_adapter/app.py"
ASSIGNOR = "stream_app/faust_adapter/assignor.py"
CONSUMER = "stream_app/faust_adapter/consumer.py"
RECOVERY = "stream_app/faust_adapter/recovery.py"
TABLE = "stream_app/faust_adapter/table.py"
WORKER = "stream_app/faust_adapter/worker.py"
BUILD = ("consumer", "tps", "destination", "title")
COMPILE = ("app", "on_key_decode_error", "on_value_decode_error", "default_propagate")

#: What we override or call; an override that Faust no longer calls is found by its source below.
METHODS = [
    Method(Schema, "compile", COMPILE, APP),
    Method(PartitionAssignor, "assign", ("cluster", "member_metadata"), ASSIGNOR),
    Method(driver.AIOKafkaConsumerThread, "_create_worker_consumer", ("transport",), CONSUMER),
    Method(driver.AIOKafkaConsumerThread, "on_start", (), CONSUMER, is_coroutine=True),
    Method(driver.Consumer, "_new_consumer_thread", (), CONSUMER),
    Method(driver.Consumer, "_drain_messages", ("fetcher",), CONSUMER, is_coroutine=True),
    Method(driver.Consumer, "_wait_next_records", ("timeout",), CONSUMER, is_coroutine=True),
    Method(driver.Consumer, "_new_offset", ("tp",), CONSUMER),
    Method(driver.Consumer, "perform_seek", (), CONSUMER, is_coroutine=True),
    Method(driver.Consumer, "seek_wait", ("partitions",), CONSUMER, is_coroutine=True),
    Method(driver.Consumer, "highwaters", ("partitions",), CONSUMER, is_coroutine=True),
    Method(driver.Consumer, "earliest_offsets", ("partitions",), CONSUMER, is_coroutine=True),
    Method(driver.Consumer, "highwater", ("tp",), CONSUMER),
    Method(driver.Consumer, "verify_event_path", ("now", "tp"), CONSUMER),
    Method(driver.Consumer, "verify_recovery_event_path", ("now", "tp"), CONSUMER),
    Method(driver.Consumer, "on_stop", (), CONSUMER, is_coroutine=True),
    Method(Recovery, "_wait", ("coro", "timeout"), RECOVERY, is_coroutine=True),
    Method(Recovery, "_build_highwaters", BUILD, RECOVERY, is_coroutine=True),
    Method(Recovery, "_build_offsets", BUILD, RECOVERY, is_coroutine=True),
    Method(Recovery, "on_recovery_completed", ("generation_id",), RECOVERY, is_coroutine=True),
    Method(rocksdb.Store, "_open_for_partition", ("partition",), TABLE),
    Method(rocksdb.Store, "_db_for_partition", ("partition",), TABLE),
    Method(rocksdb.Store, "partition_path", ("partition",), TABLE),
    Method(rocksdb.Store, "_get", ("key",), TABLE),
    Method(rocksdb.Store, "_contains", ("key",), TABLE),
    Method(rocksdb.Store, "_iterkeys", (), TABLE),
    Method(rocksdb.Store, "_iteritems", (), TABLE),
    Method(rocksdb.Store, "_itervalues", (), TABLE),
    Method(rocksdb.Store, "_size", (), TABLE),
    Method(rocksdb.Store, "_set", ("key", "value"), TABLE),
    Method(rocksdb.Store, "_del", ("key",), TABLE),
    Method(rocksdb.Store, "_clear", (), TABLE),
    Method(rocksdb.Store, "_decode_value", ("value",), TABLE),
    Method(Table, "_new_store_by_url", ("url",), TABLE),
    Method(mode.worker.Worker, "_schedule_shutdown", ("signal",), WORKER),
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_method_is_called_as_we_call_it(method: Method) -> None:
    check_method(method)


OVERRIDES = [
    (ChunkApp, App),
    (ChunkSchema, Schema),
    (KnownTopicsAssignor, PartitionAssignor),
    (ChunkThread, driver.AIOKafkaConsumerThread),
    (ChunkConsumer, driver.Consumer),
    (ChunkTransport, driver.Transport),
    (FencedRecovery, Recovery),
    (FencedTableManager, TableManager),
    (PartitionedStore, rocksdb.Store),
    (ViewTable, Table),
    (Worker, mode.worker.Worker),
]
#: Of our own making, so that Faust has no such name.
OURS = {
    "seek_partition",
    "stable_offset",
    "bounds",
    "pause_partition",
    "resume_partition",
    "_commit_quietly",
    "_databases",
    "_drain_once",
    "_deliver",
    "_chunk_message",
    "is_chunked",
    "settings",
    "single_batches",
    "source",
    "source_topic",
    "close_partition",
    "left_with",
    "ownership",
    "open_partition",
    "stopped_by",
    "warnings",
    "_end_late",
    "exit_code",
    "Error",
    "logger",
    "not_ready_because",
}


def test_faust_gives_nobody_a_topic_that_is_unknown_for_the_moment() -> None:
    check_source(
        PartitionAssignor._get_copartitioned_groups,
        ASSIGNOR,
        "num_partitions = len(cluster.partitions_for_topic(topic) or set())",
        'logger.warning("Ignoring missing topic: %r", topic)',
    )


@pytest.mark.parametrize(("ours", "theirs"), OVERRIDES, ids=lambda found: found.__name__)
def test_each_override_has_something_to_override(ours: type[Any], theirs: type[Any]) -> None:
    names = {name for name in vars(ours) if not name.startswith("__")} - OURS
    gone = {name for name in names if not hasattr(theirs, name)}
    assert not gone, f"{theirs.__module__}.{theirs.__name__} has no {sorted(gone)} any more"


def test_the_names_we_call_our_own_are_not_fausts() -> None:
    """A name of ours that Faust begins to use would be an override by accident."""
    taken = {
        f"{theirs.__name__}.{name}"
        for ours, theirs in OVERRIDES
        for name in OURS & set(vars(ours))
        if hasattr(theirs, name) and name not in ("Error", "logger")
    }
    assert not taken, f"{taken} is Faust's now too: rename ours"


def test_the_fence_is_the_first_thing_recovery_does_with_the_changelog() -> None:
    source = inspect.getsource(plain(Recovery._restart_recovery))
    order = [
        source.index("T(self._build_highwaters)("),
        source.index("T(self._build_offsets)("),
        source.index("T(self._seek_offsets)("),
        source.index("self.need_recovery()"),
        source.index("T(self.on_recovery_completed)(generation_id)"),
    ]
    assert order == sorted(order), f"{RECOVERY} fences in the first and begins in the last"
    for step in ("highwaters", "offsets"):
        assert '"active"' in source.split(f"T(self._build_{step})(")[1][:200], step


def test_recovery_is_over_for_partitions_at_their_highwater() -> None:
    check_source(
        Recovery.active_remaining,
        RECOVERY,
        "highwaters = self.active_highwaters",
        "offsets = self.active_offsets",
    )
    check_source(Recovery._build_highwaters, RECOVERY, "value - 1 if value is not None else -1")


def test_recovery_seeks_resumes_and_only_then_lets_records_flow() -> None:
    source = inspect.getsource(Recovery.on_recovery_completed)
    order = [
        source.index("consumer.resume_partitions("),
        source.index("consumer.perform_seek()"),
        source.index("self.app.flow_control.resume()"),
        source.index("consumer.resume_flow()"),
    ]
    assert order == sorted(order)
    assert Recovery._generation_id == 0


def test_the_timeout_of_a_recovery_step_is_a_parameter_we_can_drop() -> None:
    check_source(
        Recovery._wait, RECOVERY, "self.wait_first( coro, signal, timeout=timeout", "wait_result"
    )


def test_the_recovery_service_is_made_at_first_use_from_four_things() -> None:
    check_source(
        TableManager.recovery.fget,  # type: ignore[attr-defined]
        RECOVERY,
        "if self._recovery is None:",
        "Recovery( self.app, self, beacon=self.beacon, loop=self.loop",
    )
    check_source(TableManager.on_stop, RECOVERY, "if self._recovery: await self._recovery.stop()")
    assert TableManager._recovery is None
    check_source(App, APP, "manager = self.conf.TableManager(")


def test_the_store_keeps_its_databases_where_we_take_them_away() -> None:
    check_source(
        rocksdb.Store._db_for_partition,
        TABLE,
        "return self._dbs[partition]",
        "self._dbs[partition] = self._open_for_partition(partition)",
    )
    check_source(
        rocksdb.Store.persisted_offset,
        TABLE,
        "self._db_for_partition(tp.partition).get(self.offset_key)",
        "int(offset)",
    )
    assert rocksdb.Store.offset_key == b"__faust\0offset__"
    check_source(
        Table._new_store_by_url,
        TABLE,
        "url, self.app, self, table_name=self.name, key_type=self.key_type,"
        " key_serializer=self.key_serializer, value_serializer=self.value_serializer,"
        " value_type=self.value_type, loop=self.loop, options=self.options",
    )


def test_a_table_tells_of_a_write_before_it_is_made() -> None:
    for name, hook in (
        ("__setitem__", "self.on_key_set(key, value) self.data[key] = value"),
        ("__delitem__", "self.on_key_del(key) del self.data[key]"),
        ("clear", "self.on_clear() self.data.clear()"),
    ):
        check_source(getattr(Table, name), TABLE, hook)


def test_a_worker_is_stopped_through_the_method_we_override() -> None:
    worker = mode.worker.Worker
    check_source(worker._on_sigterm, WORKER, "self._schedule_shutdown(signal.SIGTERM)")
    check_source(worker._on_sigint, WORKER, "self._schedule_shutdown(signal.SIGINT)")
    check_source(
        worker._install_signal_handlers_unix,
        WORKER,
        "add_signal_handler(signal.SIGINT, self._on_sigint)",
        "add_signal_handler(signal.SIGTERM, self._on_sigterm)",
    )
    check_source(worker.carp, WORKER, "self._say(msg, file=self.stderr)")
    check_source(worker._say, WORKER, "if not self.quiet:")


@pytest.mark.parametrize(
    ("package", "version"), [("faust-streaming", "0.15.3"), ("mode-streaming", "0.7.1")]
)
def test_the_version_is_the_one_this_was_read_from(package: str, version: str) -> None:
    assert importlib.metadata.version(package) == version, (
        f"read {package} again where these tests point, then change this line"
    )


def test_no_other_file_uses_private_names_of_faust() -> None:
    private = re.compile(r"(?:app|consumer|event|message|self|stream|super\(\)|table|worker)\._\w+")
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        if path.parent.name == "faust_adapter" or not re.search(
            r"^(from|import) (faust|mode)\b", text, re.M
        ):
            continue
        assert not private.findall(text), f"{path}: private names belong into faust_adapter/"
