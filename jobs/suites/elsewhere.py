"""A suite whose lake is elsewhere: its catalogue in PostgreSQL, its files in a directory that several hosts share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from warehouse.lake.lake import lake_of
from warehouse.lake.postgres.addresses import Address, read_address, write_lake_file


def readable(url: str) -> Address:
    """Read the URL of a lake as a command was given it.

    Raises
    ------
    UsageError
        If it is none, or holds a password.
    """
    return read_address(url, "the URL of the lake")


def put_elsewhere(suite_root: Path, address: Address, now: datetime, made_by: str) -> None:
    """Say in a new suite where its lake is, and make that lake if there is none.

    Raises
    ------
    UsageError
        If something else is there, or what it takes is not installed.
    RunFailed
        If the server cannot be reached; `lake.yaml` then says already where the lake is to be.
    """
    write_lake_file(suite_root, address)
    lake_of(suite_root.resolve()).create(now, made_by)
