"""Makes the next items while the present one is worked on, in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")

_LOOK_SECONDS = 0.1
_DEPTH = 2


def ahead(items: Iterable[T], *, should_stop: Event | None = None) -> Iterator[T]:
    """Yield the items, and raise what their maker raises; at most two wait.

    Ends early once `should_stop` is set, also while the maker blocks (in a read of a pipe).
    """
    queue: Queue[tuple[T, None] | tuple[None, BaseException | None]] = Queue(_DEPTH)
    is_over = Event()

    def put(item: tuple[T, None] | tuple[None, BaseException | None]) -> None:
        while not is_over.is_set():
            try:
                queue.put(item, timeout=_LOOK_SECONDS)
                return
            except Full:
                pass

    def make() -> None:
        try:
            for item in items:
                put((item, None))
                if is_over.is_set():
                    return
            put((None, None))
        except BaseException as error:
            put((None, error))

    Thread(target=make, name="ahead", daemon=True).start()
    try:
        while should_stop is None or not should_stop.is_set():
            try:
                item, error = queue.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        is_over.set()


def with_last(items: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Yield each item, and whether it is the last one; before a fault there is no last one."""
    held: list[T] = []
    try:
        for item in items:
            if held:
                yield held.pop(), False
            held.append(item)
    except Exception:
        if held:
            yield held.pop(), False
        raise
    if held:
        yield held.pop(), True
