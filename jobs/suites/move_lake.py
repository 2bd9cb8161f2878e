"""Move a lake from a suite's directory to where its catalogue is in PostgreSQL: copied, compared, and then switched to.

Nothing of the lake that is left is changed, but that its rows which stood in the catalogue are put into files first.
It is set aside under another name once `lake.yaml` names the new one.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from jobs.backup.transfer import Transferred, transfer
from jobs.progress import Progress, Silent
from warehouse.errors import NotFoundError, UsageError
from warehouse.lake.catalogues import SqliteCatalogue
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.addresses import Address, write_lake_file

#: The name that the lake of before gets in the suite's directory.
LEFT_AS = "lake.moved"
_ARRIVES_AS = ".lake.arriving"


@dataclass(frozen=True)
class Moved(Transferred):
    """What was moved, and where the old lake is."""

    left_as: Path


def move_lake(suite_root: Path, address: Address, progress: Progress | None = None) -> Moved:
    """Move the lake of a suite's directory. Nobody commits to it meanwhile.

    Raises
    ------
    NotFoundError
        If the suite has no lake in its directory.
    UsageError
        If there is something where the lake is to be.
    RunFailed
        If it cannot be copied, or the copy is not the same; the suite has the lake that it had.
    """
    old = Lake(suite_root / "lake")
    left_as = suite_root / LEFT_AS
    if not isinstance(old.catalogue, SqliteCatalogue) or not old.exists():
        raise NotFoundError(f"there is no lake in {suite_root / 'lake'} that could be moved.")
    if left_as.exists():
        raise UsageError(f"{left_as} is there, from an earlier move; delete it, or move it away, and run this again.")
    with old.catalogue.ingest_lock():
        with old.reading():  # one of an earlier version is brought up to date
            pass
        old.close()
        # This host's directory of a lake in a bucket is `lake/` too, and there once the old lake is not.
        there = replace(address, data=suite_root / _ARRIVES_AS) if address.bucket else address
        shutil.rmtree(suite_root / _ARRIVES_AS, ignore_errors=True)
        with transfer(old, there, progress or Silent(), named="move-lake") as done:
            # In this order: a suite that has no lake in its directory, and is not told of another, would make one.
            write_lake_file(suite_root, address)
            old.close()
            os.rename(old.root, left_as)  # noqa: PTH104
        if address.bucket:
            Lake(there.data).close()
            there.data.rename(suite_root / "lake")
    return Moved(**asdict(done), left_as=left_as)
