"""The states that a store of backups keeps, and whether each is whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobs.backup.store import Store


@dataclass(frozen=True)
class BackupState:
    """A state, made when (naive UTC), the lake's newest snapshot then, and how much it holds.

    `wrong` has a sentence on each thing that is wrong with it: files that the lake had lost or that had changed when
    it was made, and, where it was verified, files of the store that are gone or damaged.
    """

    state: str
    made_at: datetime
    snapshot_id: int
    n_files: int
    n_bytes: int
    wrong: list[str]


def backups(directory: Path, *, verify: bool = False) -> list[BackupState]:
    """List the states in a store, the oldest first; `verify` reads every file of each.

    Raises
    ------
    NotFoundError
        If the directory has none.
    """
    store = Store.open(directory)
    found = []
    for name in store.names():
        state = store.read(name)
        wrong = [f"{path} was missing from the lake" for path in state.missing]
        wrong += [f"{path} was damaged in the lake; here it is as it was before" for path in state.changed]
        wrong += store.wrong_objects(state) if verify else []
        n_bytes = sum(file.bytes for file in state.files)
        found.append(BackupState(name, state.made_at, state.snapshot_id, len(state.files), n_bytes, wrong))
    return found
