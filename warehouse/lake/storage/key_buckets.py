"""Files of a source that hold the rows of one bucket of a key each, and say so in their names: a shard reads its own.

A row's bucket is the remainder of its key's hash, as its shard is. A name bears a mark of the columns, of their types,
and of how this DuckDB hashes, so that every shard reads a file that was laid out otherwise, as it reads those of few
rows and those that upkeep has merged, which have no mark at all. Which rows a shard sees is up to the hash of each.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse.system_sql import exact_path, literal, quote_all, system_sql

if TYPE_CHECKING:
    import duckdb

#: Types of which equal values have equal hashes, and no two texts.
DIVIDE = frozenset(
    "VARCHAR BOOLEAN DATE TIMESTAMP TINYINT SMALLINT INTEGER BIGINT UTINYINT USMALLINT UINTEGER UBIGINT UUID".split()
)
_MARKED = re.compile(r"\.[0-9a-f]{8}-\d+of\d+\.parquet$")
#: Of fewer rows a bucket, files are not divided: to open one takes as long as to read so many.
ROWS_OF_A_BUCKET = 10_000


@dataclass(frozen=True)
class KeyBuckets:
    """How files of a source are laid out: by the hash of some columns, in `n` buckets.

    `kinds` are all of its columns.
    """

    columns: tuple[str, ...]
    n: int
    mark: str
    kinds: Mapping[str, str]

    def suffix(self, bucket: int) -> str:
        """Give how the name of a file of a bucket ends."""
        return f".{self.mark}-{bucket}of{self.n}.parquet"

    def own_files(self, i: int, n: int) -> str | None:
        """Give SQL of whether a file may hold rows of one of `n` shards by the same columns; None if any file may."""
        # A column of that name would stand before DuckLake's own, which says what file a row is from.
        if self.n % n or "filename" in map(str.lower, self.kinds):
            return None
        others = [literal(self.suffix(bucket)) for bucket in range(self.n) if bucket % n != i]
        return " AND ".join(f"suffix(filename, {ending}) IS NOT TRUE" for ending in others) or None


def key_buckets(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[str], kinds: Mapping[str, str], n: int
) -> KeyBuckets:
    """Give a layout; `kinds` are the types of the source's columns."""
    hashes = connection.execute(system_sql("shards/hashes")).fetchall()
    told = repr((tuple(columns), [kinds[name] for name in columns], hashes))
    return KeyBuckets(tuple(columns), n, hashlib.sha256(told.encode()).hexdigest()[:8], kinds)


def divided(connection: duckdb.DuckDBPyConnection, staged: Path, buckets: KeyBuckets) -> list[Path]:
    """Divide a staged file into one of each bucket that has rows, each in the order of the whole; it is left.

    One of few rows is left as it is.
    """
    row = connection.execute("SELECT count(*) FROM read_parquet($1)", [exact_path(staged)]).fetchone()
    if row is None or row[0] < buckets.n * ROWS_OF_A_BUCKET:
        return [staged]
    files = []
    for bucket in range(buckets.n):
        file = staged.with_name(f"{staged.stem}{buckets.suffix(bucket)}")
        which = {"key": quote_all(buckets.columns), "n": str(buckets.n), "bucket": str(bucket)}
        copy = system_sql("shards/bucket", rows=literal(exact_path(staged)), file=literal(str(file)), **which)
        if connection.execute(copy).fetchone() != (0,):
            files.append(file)
    return files


def new_name(staged: Path) -> str:
    """Give the name under which a staged file is committed, with the mark of its bucket if it has one."""
    mark = _MARKED.search(staged.name)
    return f"{uuid.uuid4().hex}{mark[0] if mark else '.parquet'}"
