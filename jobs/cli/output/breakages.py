"""What went wrong underneath a command, in words: the disk, rights, a lock, a file that is gone, or a fault of ours.

Errors that Almanac raises on purpose say themselves what to do. What comes up from DuckDB, SQLite or the operating
system is told here by its kind, so that no traceback reaches a person; `--debug` shows it.
"""

from __future__ import annotations

import errno
import re
import sqlite3
import sys
from pathlib import Path

#: The kinds, in the order in which they are looked for: words in a message, and what is said of it.
_KINDS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    (
        "the disk is full",
        re.compile(r"no space left|disk is full|file too large|quota exceeded|could not write", re.I),
        "Free space (`almanac upkeep` deletes what nobody needs) and run this again.",
    ),
    (
        "a file of the lake may not be read or written",
        re.compile(r"permission denied|not permitted|read-?only|unable to open database file", re.I),
        "See who owns the lake's files and which user runs Almanac, and run this again.",
    ),
    (
        "the lake's catalogue is locked by another program",
        re.compile(r"database is locked|could not set lock|lock on file", re.I),
        "Find it with `fuser lake/*.sqlite`, let it end, and run this again.",
    ),
    (
        "a data file of the lake is missing",
        re.compile(r"no such file|no files found|cannot open file|could not open file|HTTP 404", re.I),
        "`almanac doctor` says which pages or source it held; put it back from a backup.",
    ),
    (
        "a file of the lake is damaged",
        re.compile(
            r"no magic bytes|too small to be a parquet|not a parquet|corrupt|malformed|not a database|thrift"
            r"|deserialize|footer|snappy|zstd|unexpected end|invalid file",
            re.I,
        ),
        "`almanac doctor` says which pages or source it held; put it back from a backup.",
    ),
    (
        "memory does not suffice",
        re.compile(r"out of memory|failed to allocate|memory limit", re.I),
        "Let less run at a time, or give a smaller --pages-per-commit or --workers.",
    ),
)
_DISK = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_RIGHTS = {errno.EACCES, errno.EPERM, errno.EROFS}


def explain(error: BaseException) -> str:
    """Say what an error that nobody foresaw is about, and what to do."""
    text = " ".join(str(error).split()) or type(error).__name__
    kept = "What was published is unchanged."
    if isinstance(error, MemoryError):
        text = "out of memory"
    if isinstance(error, OSError) and error.errno in _DISK:
        text = f"no space left: {text}"
    if isinstance(error, OSError) and error.errno in _RIGHTS:
        text = f"permission denied: {text}"
    if isinstance(error, (OSError, MemoryError, sqlite3.Error)) or _is_of_duckdb(error):
        for what, words, to_do in _KINDS:
            if words.search(text) and not ("backup" in to_do and _lies_elsewhere(error)):
                return f"{what}: {text}. {kept} {to_do}"
        return f"{text}. {kept} --debug shows where that was; `almanac doctor` looks at the lake."
    return (
        f"this should not happen, and is a fault of Almanac: {type(error).__name__}: {text}. {kept} Run it again with"
        " --debug to see where, and report that."
    )


def _lies_elsewhere(error: BaseException) -> bool:
    """Whether an error of the operating system names a file, and none of a lake."""
    name = error.filename if isinstance(error, OSError) else None
    return isinstance(name, str) and "lake" not in Path(name).parts


def _is_of_duckdb(error: BaseException) -> bool:
    # A command that has no need of DuckDB can have none of its errors, and DuckDB may not be there.
    duckdb = sys.modules.get("duckdb")
    return duckdb is not None and isinstance(error, duckdb.Error)
