"""The log of changes: each key once, behind every position, in bounded memory."""

from __future__ import annotations

import random

from api.query.streams.change_log import SLACK, ChangeLog


def test_a_key_that_changes_again_is_there_once_and_last() -> None:
    log = ChangeLog()
    log.add([b"a", b"b"])
    log.add([b"a"])
    assert log.since(0, 10) == ([b"b", b"a"], 3)
    assert log.since(2, 10) == ([b"a"], 3)
    assert log.since(3, 10) == ([], 3)


def test_it_is_read_in_parts() -> None:
    log = ChangeLog()
    log.add([b"a", b"b", b"c"])
    log.add([b"a"])
    first, position = log.since(0, 2)
    assert first == [b"b", b"c"]
    assert log.since(position, 2) == ([b"a"], 4)


def test_what_all_have_is_forgotten_and_numbers_go_on() -> None:
    log = ChangeLog()
    log.add([b"a"])
    log.forget(1)
    assert (len(log), log.changed_at(b"a")) == (0, 0)
    log.add([b"a"])
    assert log.since(1, 10) == ([b"a"], 2)


def test_it_holds_no_more_than_twice_its_keys() -> None:
    log = ChangeLog()
    for _ in range(1_000):
        log.add([b"%d" % n for n in range(100)])
        log.forget(0)
        assert len(log) <= 2 * 100 + SLACK + 100
    assert len(log.since(0, 1_000)[0]) == 100


def test_any_readers_miss_nothing_whatever_is_forgotten() -> None:
    chance = random.Random(1)
    log = ChangeLog()
    readers = [0] * 5
    missing: list[set[bytes]] = [set() for _ in readers]
    for _ in range(3_000):
        keys = [b"%d" % chance.randrange(300) for _ in range(chance.randrange(20))]
        log.add(keys)
        for each in missing:
            each.update(keys)
        reader = chance.randrange(len(readers))
        found, readers[reader] = log.since(readers[reader], chance.randrange(1, 40))
        assert len(set(found)) == len(found)
        missing[reader].difference_update(found)
        log.forget(min(readers))
    for place, position in enumerate(readers):
        assert set(log.since(position, 10_000)[0]) == missing[place]
