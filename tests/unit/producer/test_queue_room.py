"""Room in the producer's queue: bounded, given back, and closed at a stop."""

import threading

import pytest

from producer.client.queue_room import QueueRoom
from producer.errors import ProducerStopped, QueueFull


def test_what_does_not_fit_is_refused_and_what_is_larger_than_the_queue_goes_alone():
    room = QueueRoom(10, 100)
    room.reserve(11, 1_000, block=False)
    with pytest.raises(QueueFull):
        room.reserve(1, 1, block=False)
    room.release(11, 1_000)
    room.reserve(9, 100, block=False)
    for records, size in ((1, 1), (2, 0)):
        with pytest.raises(QueueFull):
            room.reserve(records, size, block=False)
    room.reserve(1, 0, block=False)
    assert room.records == 10


@pytest.mark.parametrize("is_closed", [False, True])
def test_who_waits_for_room_goes_on_when_there_is_some_or_none_ever_will_be(is_closed: bool):
    room = QueueRoom(1, 1)
    room.reserve(1, 1)
    ended: list[object] = []

    def wait() -> None:
        try:
            ended.append(room.reserve(1, 1))
        except ProducerStopped as error:
            ended.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    if is_closed:
        room.close(0)
    else:
        room.release(1, 1)
    waiting.join(10)
    assert [type(each) for each in ended] == [ProducerStopped if is_closed else type(None)]
    assert room.records == 1
