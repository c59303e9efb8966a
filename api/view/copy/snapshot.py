"""A snapshot of a copy: a class and no generator, because a point read is little more than this."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

Shown_co = TypeVar("Shown_co", covariant=True)


class Snapshot(AbstractContextManager[Shown_co]):
    """A read transaction, from enter to exit."""

    __slots__ = ("_begin", "_check", "_end", "_make", "_transaction")

    def __init__(
        self,
        begin: Callable[[], Any],
        end: Callable[[Any, BaseException | None], None],
        make: Callable[[Any], Shown_co],
        check: Callable[[], None],
    ) -> None:
        self._begin, self._end = begin, end
        self._make, self._check = make, check

    def __enter__(self) -> Shown_co:
        self._transaction = self._begin()
        try:
            self._check()
            return self._make(self._transaction)
        except BaseException as error:
            self._end(self._transaction, error)
            raise

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End it, and say in our words what LMDB met meanwhile."""
        self._end(self._transaction, error)
