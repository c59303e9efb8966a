"""Totals fed by hand, in a copy of their own: what is applied is shown at once."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from api.view.copy.copies import Copies
from api.view.followed_view import ViewState
from api.view.totals_view import TotalsView
from contract.view_versions import ViewVersion
from kafka_io.batches.chunk import RecordChunk

MAP_BYTES = 2_000_000_000
#: In memory, where that is: each copy is forced to the disk when it is made.
_DIRECTORY = next((each for each in ("/dev/shm",) if Path(each).is_dir()), None)


def copies_in_memory() -> Copies:
    """A directory of copies, gone with the object."""
    directory = Path(tempfile.mkdtemp(prefix="totals-", dir=_DIRECTORY))
    copies = Copies(directory, MAP_BYTES)
    weakref.finalize(copies, shutil.rmtree, directory, ignore_errors=True)
    return copies


class FedView(TotalsView):
    """A view that is its own follower."""

    def __init__(self, view_version: int = 1, partitions: int = 1) -> None:
        self.copies = copies_in_memory()
        copy = self.copies.totals_of(ViewVersion(view_version, "live", partitions, "1"))
        super().__init__(view_version, partitions, copy)

    async def apply(self, chunk: RecordChunk) -> None:
        await super().apply(chunk)
        await self.merge()


async def running_view(view_version: int = 1, partitions: int = 1) -> FedView:
    """An empty view that is served."""
    view = FedView(view_version, partitions)
    await view.resume()
    view.become(ViewState.RUNNING)
    return view
