"""Files that could not be read: `rejects.files`, where they stay until they are taken in or forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from jobs.facts.files.delivered_files import DeliveredFile
from jobs.facts.reading import Reading
from jobs.suite import Suite
from warehouse.definitions import Source
from warehouse.errors import NotFoundError
from warehouse.facts.files_aside import AsideFile, files_aside
from warehouse.system_sql import system_sql


def record_files_aside(
    suite: Suite, source: Source, reading: Reading, before: Sequence[AsideFile], run_id: str, now: datetime
) -> None:
    """Write down which files are set aside now, and take out those that were taken in. Nothing new: no commit."""
    mended = {file.path for file in reading.taken} | {file.sha256 for file in reading.taken}
    standing = [file for file in before if file.forgotten_at is None]
    # A loader fills another directory each time: what it brings now is all that there is.
    gone = [file for file in standing if source.header.loader or {file.path, file.sha256} & mended]
    known = {(file.path, file.sha256): file for file in standing}
    new = [one for one in reading.aside if (one.file.path, one.file.sha256) not in known]
    same = [known[one.file.path, one.file.sha256] for one in reading.aside if one not in new]
    gone += [file for file in standing if file.path in {one.file.path for one in new} and file not in gone]
    gone = [file for file in gone if file not in same]
    if not new and not gone:
        return
    with suite.lake.commit(f"set files of {source.name} aside, run {run_id}") as commit:
        commit.execute(system_sql("ingest/create_files"))
        for file in gone:
            values = [source.name, file.path, file.sha256]
            commit.execute("DELETE FROM rejects.files WHERE source = $1 AND path = $2 AND sha256 = $3", values)
        for one in new:
            found = one.file
            row = [source.name, found.path, found.sha256, found.bytes, one.reason, source.fingerprint, now, run_id]
            commit.execute("INSERT INTO rejects.files VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL)", row)


def leave_out_deleted(
    suite: Suite, source: Source, there: Sequence[DeliveredFile], before: Sequence[AsideFile]
) -> None:
    """Take out files that were set aside and that are not delivered any more: deleted, moved, or of another pattern."""
    found = {file.path for file in there} | {file.sha256 for file in there}
    gone = [file for file in before if file.forgotten_at is None and not {file.path, file.sha256} & found]
    if gone:
        with suite.lake.commit(f"leave out deleted files of {source.name}") as commit:
            for file in gone:
                values = [source.name, file.path, file.sha256]
                commit.execute("DELETE FROM rejects.files WHERE source = $1 AND path = $2 AND sha256 = $3", values)


def forget_file(suite: Suite, name: str) -> AsideFile:
    """Leave a file that is set aside alone from now on, as long as what is in it does not change.

    Parameters
    ----------
    name
        Its path as `rejects.files` has it, relative to the suite or to where the command runs, or its bare name.

    Raises
    ------
    NotFoundError
        If no file of that name is set aside, or several are.
    """
    with suite.lake.reading() as connection:
        aside = files_aside(connection)
    found = [file for file in aside if file.path in (name, str(suite.root / name), str(Path(name).resolve()))]
    found = found or [file for file in aside if Path(file.path).name == name]
    if len({file.path for file in found}) != 1:
        listed = ", ".join(file.path for file in found or aside) or "none"
        word = "several files" if found else "no file"
        raise NotFoundError(f"{word} `{name}` set aside; name one by its path. Set aside: {listed}.")
    with suite.lake.commit(f"forget the file {found[0].path}") as commit:
        commit.execute(
            "UPDATE rejects.files SET forgotten_at = $1 WHERE path = $2 AND forgotten_at IS NULL",
            [suite.clock(), found[0].path],
        )
    return found[0]
