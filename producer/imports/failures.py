"""What a failure of Kafka means for an import: fenced, refused for good, or worth another try."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from producer.client.outcome import NOT_APPENDED
from producer.errors import BrokerUnreachable, PositionsUnread

#: Another process has taken the import over.
FENCED = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
)
#: Kafka would say the same again.
REFUSED = NOT_APPENDED | {
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError._INVALID_ARG,
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
}
#: What may be different a moment later.
Failure = KafkaException | BrokerUnreachable | PositionsUnread
FAILURES = (KafkaException, BrokerUnreachable, PositionsUnread)


def reason_of(error: Failure) -> KafkaError:
    """Return what Kafka or its client said; a time-out where it was ours."""
    cause = error if isinstance(error, KafkaException) else error.__cause__
    if isinstance(cause, KafkaException):
        return cause.args[0]  # type: ignore[no-any-return]
    return KafkaError(KafkaError._TIMED_OUT, str(error))
