"""Bodies with one key, written by any processes in any order of steps: each row is there once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from contract.key_notes import KeyNote, encode_note
from producer.idempotency.key_order import KeyOrder, Stale, Undecided

KEYS = [b"keyed/a/1", b"keyed/a/2"]
BATCHES = 3
SCHEDULES = 400


class Log:
    """Notes with what became of their transactions (None: open), and the rows of those."""

    def __init__(self) -> None:
        self.notes: list[tuple[bytes, bytes, int]] = []
        self.ends: list[bool | None] = []
        self.rows: list[tuple[bytes, int]] = []

    def decided_end(self) -> int:
        for offset, (_, _, transaction) in enumerate(self.notes):
            if self.ends[transaction] is None:
                return offset
        return len(self.notes)


class Process:
    """Writes the batches of its keys, one after the other; may die at any step."""

    def __init__(self, log: Log, order: type[KeyOrder], chance: random.Random) -> None:
        self.log, self.chance = log, chance
        self.order = order()
        self.seen = 0
        self.open: int | None = None
        self.answers: dict[bytes, int] = {}

    def look(self, upto: int) -> None:
        """See all notes up to one; of what is decided some may not have come yet."""
        for offset in range(self.seen, upto):
            self.order.see(offset, self.log.notes[offset][0])
        self.seen = max(upto, self.seen)
        start = self.order.decided_offset
        for offset in range(start, self.chance.randint(start, max(start, self.log.decided_end()))):
            key, value, transaction = self.log.notes[offset]
            if self.log.ends[transaction]:
                self.order.apply(key, value)
            self.order.decide(offset + 1)

    def steps(self, keys: Sequence[bytes]) -> Iterator[None]:
        log = self.log
        for key in keys:
            while True:
                before = self.order.note(key)
                done = before.next_position if before else 0
                if done == BATCHES:
                    self.answers[key] = done
                    break
                after = KeyNote(b"", 1, done + 1, is_done=done + 1 == BATCHES)
                transaction = len(log.ends)
                log.ends.append(None)
                self.open = transaction
                log.notes.append((key, encode_note(after, ""), transaction))
                offset = len(log.notes) - 1
                yield
                self.look(offset + 1)
                try:
                    self.order.check([offset], {key: before})
                except (Undecided, Stale):
                    log.ends[transaction] = False
                    yield
                    self.look(len(log.notes))
                    continue
                yield
                log.ends[transaction] = True
                log.rows.append((key, done))
                yield
                self.look(len(log.notes))


def run(seed: int, order: type[KeyOrder] = KeyOrder) -> Log:
    chance = random.Random(seed)
    log = Log()
    running: list[tuple[Process, Iterator[None]]] = []
    kills = 6
    for _ in range(3_000):
        if len(running) < 3 and (not running or chance.random() < 0.2):
            process = Process(log, order, chance)
            keys = chance.sample(KEYS, 2) if chance.random() < 0.7 else [KEYS[0]]
            running.append((process, process.steps(keys)))
        place = chance.randrange(len(running))
        process, steps = running[place]
        if kills and chance.random() < 0.03:
            # Its transaction stays open until Kafka gives it up, which may be much later.
            kills -= 1
            del running[place]
            if process.open is not None and log.ends[process.open] is None:
                dead = process.open
                running.append((process, _given_up(log, dead, chance.randint(1, 50))))
            continue
        if next(steps, "end") == "end":
            del running[place]
        if len(log.rows) >= len(KEYS) * BATCHES and chance.random() < 0.01:
            break
    return log


def _given_up(log: Log, transaction: int, steps: int) -> Iterator[None]:
    for _ in range(steps):
        yield
    log.ends[transaction] = False


def is_right(log: Log) -> bool:
    return sorted(log.rows) == sorted((key, batch) for key in KEYS for batch in range(BATCHES))


def test_api_b10_each_batch_of_each_key_is_written_once_in_any_order_of_steps() -> None:
    for seed in range(SCHEDULES):
        assert is_right(run(seed)), f"seed {seed}"


class BlindToUndecided(KeyOrder):
    def see(self, offset: int, key: bytes) -> None:
        """Pass over all that is not decided."""


class BlindToOthers(KeyOrder):
    def check(self, offsets: Sequence[int], before: object) -> None:
        """Look only at what is undecided."""
        super().check(offsets, dict.fromkeys(before) if not before else {})  # type: ignore[call-overload]
        for at, key in self._behind:
            if at < max(offsets) and key in before and at not in offsets:  # type: ignore[operator]
                raise Undecided(at)


@pytest.mark.parametrize("bug", [BlindToUndecided, BlindToOthers])
def test_api_b10_each_of_the_two_rules_is_needed(bug: type[KeyOrder]) -> None:
    assert not all(is_right(run(seed, bug)) for seed in range(SCHEDULES))
