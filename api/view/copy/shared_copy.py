"""The copy on disk of a view that another process writes, as this process reads it."""

from __future__ import annotations

from typing import TypeVar

from api.view.copy.kept_copy import KeptCopy

Shown = TypeVar("Shown")


class SharedCopy(KeptCopy[Shown]):
    """It is opened when its writer says that it is whole, and each time one was built again."""

    _file: tuple[int, int] | None = None

    def open_what_is_there(self) -> None:
        """Open it, unless it is open; blocks. Raises: CopyError, OSError."""
        with self._one_call:
            found = (self.directory / "copy" / "data.mdb").stat()
            file = found.st_dev, found.st_ino
            if self._copy is not None and file == self._file:
                return
            former, self._copy = self._copy, None
            if former is not None:
                former.close()
            self._copy, self._file = self._open_copy(), file
