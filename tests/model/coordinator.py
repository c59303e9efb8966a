"""A simulated transaction coordinator: who may write under which id, and what is decided."""

from __future__ import annotations

from collections.abc import Iterable

from tests.model.kafka_log import ABORTED, Fenced, Producer, SimLog, SimTransaction

#: After this epoch an id is used up, and the next producer gets another one.
LAST_EPOCH = 32_766


class _Ending:
    """An end that is answered, and whose control records are not in the logs yet."""

    def __init__(self, producer: Producer, what: SimTransaction | SimLog, steps: int) -> None:
        self.producer = producer
        self.what = what
        self.steps = steps

    def complete(self) -> None:
        if isinstance(self.what, SimLog):
            self.what.mark(None, self.producer)
        else:
            self.what.mark(self.producer)


class Coordinator:
    """Who may write under a transactional.id, and in which transaction."""

    def __init__(self) -> None:
        #: Producer id and epoch of the newest producer of each transactional.id.
        self._newest: dict[str, tuple[int, int]] = {}
        self._open: dict[str, SimTransaction] = {}
        self._ids = 0
        self._order = 0
        #: So many steps later than their answer do the control records of the next end come.
        self.delay = 0
        self.ending: dict[str, _Ending] = {}

    def init(self, transactional_id: str) -> Producer:
        """Abort what is open, fence all earlier producers."""
        self.expire(transactional_id)
        producer_id, epoch = self._newest.get(transactional_id, (0, LAST_EPOCH))
        if epoch + 1 >= LAST_EPOCH:
            self._ids += 1
            producer_id, epoch = self._ids, -1
        self._newest[transactional_id] = (producer_id, epoch + 1)
        self._order += 1
        return Producer(transactional_id, producer_id, epoch + 1, self._order)

    def lose(self, transactional_id: str) -> None:
        """Forget an id: the next producer gets another one, and the last one may do nothing."""
        self.expire(transactional_id)
        self._newest.pop(transactional_id, None)

    def use_up(self, transactional_id: str) -> Producer:
        """Let so many take over that the one after the next has another id; returns the last."""
        self.expire(transactional_id)
        producer_id, _ = self._newest[transactional_id]
        self._newest[transactional_id] = (producer_id, LAST_EPOCH - 2)
        return Producer(transactional_id, producer_id, LAST_EPOCH - 2)

    def identity(self, transactional_id: str) -> tuple[int, int]:
        """Return producer id and epoch of the newest producer; (-1, -1) where none is known."""
        return self._newest.get(transactional_id, (-1, -1))

    def append(
        self,
        producer: Producer,
        log: SimLog,
        records: Iterable[tuple[bytes | None, bytes | None]],
        at: int,
    ) -> int:
        """Append in the producer's transaction; returns the last offset. Raises: Fenced."""
        self._check(producer)
        transaction = self._open.get(producer.transactional_id)
        if transaction is None:
            self.complete(producer.transactional_id)
            transaction = self._open[producer.transactional_id] = SimTransaction()
        return log.append(records, at, transaction, producer)

    def end(self, producer: Producer, state: str) -> None:
        """Commit or abort the producer's transaction. Raises: Fenced."""
        self._check(producer)
        transaction = self._open.pop(producer.transactional_id, None)
        if transaction is not None:
            transaction.state = state
            self._mark(producer, transaction)

    def pass_empty(self, producer: Producer, log: SimLog) -> None:
        """Begin and abort a transaction without records. Raises: Fenced."""
        self._check(producer)
        self.complete(producer.transactional_id)
        self._mark(producer, log)

    def _mark(self, producer: Producer, what: SimTransaction | SimLog) -> None:
        ending = _Ending(producer, what, self.delay)
        self.delay = 0
        if ending.steps:
            self.ending[producer.transactional_id] = ending
        else:
            ending.complete()

    def tick(self) -> None:
        """A step later: control records that were late may be there."""
        for transactional_id, ending in list(self.ending.items()):
            ending.steps -= 1
            if ending.steps < 0:
                self.complete(transactional_id)

    def complete_all(self) -> None:
        """Have each transaction that is decided end in the logs."""
        for transactional_id in list(self.ending):
            self.complete(transactional_id)

    def complete(self, transactional_id: str) -> None:
        """Have the last transaction of an id end in the logs; nothing begins before."""
        ending = self.ending.pop(transactional_id, None)
        if ending is not None:
            ending.complete()

    def expire(self, transactional_id: str) -> None:
        """The transaction's time is over: aborted, its producer fenced."""
        self.complete(transactional_id)
        transaction = self._open.pop(transactional_id, None)
        if transaction is not None:
            producer_id, epoch = self._newest[transactional_id]
            self._newest[transactional_id] = (producer_id, epoch + 1)
            transaction.end(ABORTED, Producer(transactional_id, producer_id, epoch + 1))

    def open_ids(self) -> list[str]:
        """Transactional ids with an open transaction."""
        return list(self._open)

    def _check(self, producer: Producer) -> None:
        newest = self._newest.get(producer.transactional_id)
        if newest != (producer.producer_id, producer.epoch):
            raise Fenced(producer.transactional_id)
