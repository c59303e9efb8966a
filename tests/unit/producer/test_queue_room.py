"""Room in the producer's queue: bounded, given back, and closed at a stop."""

import threading

import pytest

from producer.client.queue_room import QueueRoom
from producer.errors import ProducerStopped, QueueFull


def test_what_does_not_fit_is_refused_and_what_is_larger_than_the_queue_goes_alone():
    room = QueueRoom(10, 100)
    room.reserve(11, 1_000)
    with pytest.raises(QueueFull):
        room.reserve(1, 1)
    room.release(11, 1_000)
    room.reserve(9, 100)
    for records, size in ((1, 1), (2, 0)):
        with pytest.raises(QueueFull):
            room.reserve(records, size)
    room.reserve(1, 0)
    assert room.records == 10


def test_a_stop_refuses_what_comes_and_waits_for_what_is_under_way():
    room = QueueRoom(10, 100)
    room.reserve(1, 1)
    ending = threading.Timer(0.05, room.release, (1, 1))
    ending.start()
    room.close(30)
    assert room.records == 0
    with pytest.raises(ProducerStopped):
        room.reserve(1, 1)


def test_a_stop_waits_no_longer_than_it_may():
    room = QueueRoom(10, 100)
    room.reserve(1, 1)
    room.close(0.01)
    assert room.records == 1
