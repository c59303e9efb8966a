"""The producer's error tree; each class says what to do next.

ProducerError
+-- QueueFull          (retriable) too much is under way: wait, or answer 503
+-- ProducerStopped    it was stopped; nothing is sent any more
+-- BrokerUnreachable  (retriable) no broker answers
+-- TopicMissing       a topic is not on the broker
+-- RecordsRefused     Kafka said no to records, and would again
+-- PositionsUnread    (retriable) energy_imports could not be read to its end
+-- ImportSuperseded   another process continues with the same import
+-- FileRefused        not what its name or its header says: nothing of it is written
+-- FileBroken         cut off or corrupt: the rows before it are written
|   +-- FileTooLarge   compressed, and more comes out than is allowed
|   +-- NoReading      it was read to its end, and no row of it is a reading
|   +-- TooManyRefused more of its rows are refused than one file may have
+-- LoadUnknown        no load of this file is known that could continue: a person must look
"""

from __future__ import annotations

from typing import ClassVar


class ProducerError(Exception):
    """Readings could not be published; see the message."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))


class QueueFull(ProducerError):
    """Too many records are under way, and none of these was sent; try again in a moment."""


class ProducerStopped(ProducerError):
    """The producer was stopped and sends nothing any more; make a new one."""


class BrokerUnreachable(ProducerError):
    """No broker answers; start it, or set KAFKA_BOOTSTRAP_SERVERS."""


class TopicMissing(ProducerError):
    """A topic is not on the broker; run `energy topics create`."""

    def __init__(self, topic: str, in_sight: str = "") -> None:
        """Take the topic, and what `KafkaSettings.in_sight` says about who looks for it."""
        super().__init__(
            f"there is no topic {topic}{in_sight} on the broker; run `energy topics create`"
        )
        self.topic = topic


class RecordsRefused(ProducerError):
    """Kafka refused records and would refuse them again; its reason is in the message."""


class PositionsUnread(ProducerError):
    """energy_imports could not be read to its end in time; look at its leader, then try again."""


class ImportSuperseded(ProducerError):
    """Another process continues the same import; let it finish, or stop it and run this again."""

    exit_code: ClassVar[int] = 75


class FileRefused(ProducerError):
    """The file is not what its name, its format or its header says; nothing of it is written."""


class FileBroken(ProducerError):
    """The file is cut off or corrupt; the rows before that are written."""


class FileTooLarge(FileBroken):
    """The file inflates to more than is allowed; send it in parts."""


class NoReading(FileBroken):
    """No row of the file is a reading; look at what it holds."""


class TooManyRefused(FileBroken):
    """Too many rows of the file are refused; the rows behind them are not read."""


class LoadUnknown(ProducerError):
    """No broken-off load of this file is known; nothing of it is written."""

    exit_code: ClassVar[int] = 3
