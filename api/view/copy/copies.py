"""The copies on disk of the views, one for each view and version."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

from api.view.copy.kept_copy import KeptCopy
from api.view.copy.reader_copy import ReaderCopy
from api.view.copy.shared_copy import SharedCopy
from api.view.series_copy.copy import SeriesCopy
from api.view.series_copy.snapshot import SeriesSnapshot
from api.view.totals_copy.copy import TotalsCopy
from api.view.totals_copy.snapshot import TotalsSnapshot
from contract.device_totals import DEVICE_TOTALS
from contract.energy_series import ENERGY_SERIES
from contract.prefix import prefixed
from contract.view import View
from contract.view_versions import ViewVersion
from contract.views import views_of
from kafka_io.threads import in_thread

#: A copy, and the note beside it; without ENERGY_PREFIX.
_is_of_version = re.compile(
    rf"energy-v([0-9]{{1,18}})-(?:{DEVICE_TOTALS.name}|{ENERGY_SERIES.name})-changelog(?:\.[a-z-]+)?"
).fullmatch


class Copies:
    """The copies in one directory, which this process alone writes, or another one does."""

    def __init__(self, directory: Path, max_bytes: int, *, of_another: bool = False) -> None:
        """Store the arguments; `max_bytes` bounds each copy, `of_another` process's are read."""
        self.directory = directory
        self._max_bytes = max_bytes
        self._of_another = of_another

    def totals_of(self, version: ViewVersion) -> KeptCopy[TotalsSnapshot]:
        """Return the copy of a version's totals, not opened yet."""
        return self._kept("the totals are", DEVICE_TOTALS, version, TotalsCopy)

    def series_of(self, version: ViewVersion) -> KeptCopy[SeriesSnapshot] | None:
        """Return the copy of a version's series, not opened yet; None where it has none."""
        if ENERGY_SERIES not in views_of(version.rules_id):
            return None
        return self._kept("the series is", ENERGY_SERIES, version, SeriesCopy)

    def _kept(
        self, what: str, view: View, version: ViewVersion, kind: type[ReaderCopy[Any]]
    ) -> KeptCopy[Any]:
        name = view.changelog(version.view_version).name
        directory = self.directory / name
        identity = f"{name} of rules {version.rules_id}"
        kept_as, opened = (
            (SharedCopy, kind.open_to_read) if self._of_another else (KeptCopy, kind.open)
        )
        return kept_as(
            what, directory, partial(opened, directory, identity, map_bytes=self._max_bytes)
        )

    async def keep_only(self, view_versions: Collection[int]) -> None:
        """Remove the copies of all other versions of this installation."""
        await in_thread(partial(self._remove_others, view_versions))

    def _remove_others(self, view_versions: Collection[int]) -> None:
        for path in self.directory.iterdir():
            # What has another prefix is another installation's.
            prefix, name = path.name[: len(prefixed(""))], path.name[len(prefixed("")) :]
            found = _is_of_version(name)
            if found is None or prefix != prefixed("") or int(found[1]) in view_versions:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
