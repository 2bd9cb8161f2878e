"""What a bucket keeps of deleted objects is deleted too: an erasure ends no earlier.

A bucket with versions only marks what is deleted. All versions below the lake's prefix go that nobody is shown, and the
marks; readers of earlier snapshots, of which an erasure leaves none, are the only ones who might have asked for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from warehouse.buckets import AT_ONCE, Bucket, BucketRefused, Version
from warehouse.errors import RunFailed, UsageError


def require_can_forget(bucket: Bucket, prefix: str) -> None:
    """See that nothing is in the way of deleting versions, before anything is begun.

    Raises
    ------
    UsageError
        If a rule of the bucket keeps them.
    RunFailed
        If the server does not say.
    """
    try:
        if not bucket.keeps_versions():
            return
        bucket.versions(prefix)
        is_locked = bucket.holds_back()
    except BucketRefused as error:
        raise RunFailed(
            f"whether s3://{bucket.name} keeps versions of what is deleted, and which, could not be asked: {error}. Let"
            " the lake's role do s3:GetBucketVersioning, s3:ListBucketVersions, s3:GetBucketObjectLockConfiguration and"
            " s3:DeleteObjectVersion, and run this again. Nothing was changed."
        ) from error
    if is_locked:
        raise UsageError(
            f"s3://{bucket.name} locks its objects: a rule keeps their versions from being deleted, and the person with"
            " them. Take the rule away, wait for its term, or move the lake to a bucket without one (`almanac backup`,"
            " `almanac restore`). Nothing was changed."
        )


def forget_deleted(bucket: Bucket, prefix: str) -> None:
    """Delete all versions that nobody is shown of the objects whose keys begin so.

    Raises
    ------
    RunFailed
        If one cannot be deleted.
    """
    with _deleting(bucket):
        if bucket.keeps_versions():
            gone = [version for version in bucket.versions(prefix) if not version.is_shown]
            with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
                # Without the mark of its deletion an older version would be shown again.
                for are_marks in (False, True):
                    list(pool.map(bucket.remove_version, [each for each in gone if each.is_mark is are_marks]))


def remove_for_good(bucket: Bucket, key: str) -> None:
    """Delete a small object with all its versions, that which is shown last."""
    with _deleting(bucket):
        try:
            if bucket.keeps_versions():
                for version in _versions_of(bucket, key):
                    bucket.remove_version(version)
            else:
                bucket.remove(key)
        except BucketRefused:
            # An answer that was lost says nothing of whether it is there.
            if bucket.size(key) is not None or (bucket.keeps_versions() and _versions_of(bucket, key)):
                raise


def _versions_of(bucket: Bucket, key: str) -> list[Version]:
    return [version for version in bucket.versions(key) if version.key == key]


@contextmanager
def _deleting(bucket: Bucket) -> Iterator[None]:
    try:
        yield
    except BucketRefused as error:
        raise RunFailed(
            f"what s3://{bucket.name} keeps of deleted objects could not be deleted: {error}. Let the lake's role do"
            " s3:DeleteObjectVersion, and run the same `almanac erase` again, which goes on with it."
        ) from error
