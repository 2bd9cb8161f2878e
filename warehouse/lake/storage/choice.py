"""Which place a lake's files lie in."""

from __future__ import annotations

from pathlib import Path

from warehouse.errors import UsageError
from warehouse.lake.postgres.addresses import read_marker
from warehouse.lake.storage.local_directory import LocalDirectory
from warehouse.lake.storage.storage import Storage


def storage_of(root: Path, linked: Storage | None = None) -> Storage:
    """Give where the files lie of the lake that has a directory on this host; `linked`: those of one that it reads."""
    marker = read_marker(root)
    if marker is None or not marker.bucket:
        if linked is None or linked.is_directory:
            return LocalDirectory(root)
        from warehouse.lake.storage.linked_bucket import LinkedBucket

        return LinkedBucket(root, linked)
    from warehouse.lake.storage.bucket_prefix import BucketPrefix

    return BucketPrefix(root, marker)


def require_directory(root: Path, what: str, instead: str) -> None:
    """Refuse what is not built for a lake in a bucket.

    Parameters
    ----------
    root
        The lake's directory on this host.
    what
        What is refused: the subject of the error.
    instead
        What to do, a sentence.

    Raises
    ------
    UsageError
        If the lake is in a bucket.
    """
    marker = read_marker(root)
    if marker is not None and marker.bucket:
        raise UsageError(
            f"{what} is not built for a lake in a bucket ({marker.bucket}). {instead} Nothing was changed."
        )
