"""A bucket that cannot be reached, as boto3 and DuckDB tell of it: it says nothing of what the bucket holds."""

from __future__ import annotations

import duckdb

from warehouse.errors import RunFailed


def out_of_reach(place: str, error: Exception) -> RunFailed:
    """Give the error of who was about to read or write a lake's files in a bucket."""
    why = " ".join(str(error).split()).rstrip(".")
    return RunFailed(
        f"the lake's files in {place} cannot be reached: {why}. See that the bucket answers, and run this again."
    )


def is_out_of_reach(data: str, error: duckdb.Error) -> bool:
    """Tell whether an error of DuckDB's is that a file below a URL was not answered for, whether there is one or not.

    DuckDB 1.5.5 names the file by its URL with the server's, of which the part behind the bucket is the same in each
    style. Of a line that broke there is no status.
    """
    below = data.removeprefix("s3://").partition("/")[2]
    if not data.startswith("s3://") or below not in str(error):
        return False
    if isinstance(error, duckdb.HTTPException):
        return bool(error.status_code != 404)
    return isinstance(error, duckdb.IOException) and "HTTP" in str(error)
