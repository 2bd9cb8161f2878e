"""The site as files: every page that its pages link to, from home on, all of one state of the lake."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from jobs.web.parts import paths
from jobs.web.parts.seen import Seen
from jobs.web.site.opened import OpenedSuite
from jobs.web.site.rendering import Frame, html_of, style
from jobs.web.site.routes import document_of
from warehouse.errors import RunFailed, UsageError

#: Tells a directory that was exported, which another export may replace.
_MARK = ".almanac-site"


@dataclass(frozen=True)
class Exported:
    """What was written: where, how many files, and of which state of the lake."""

    directory: Path
    n_files: int
    snapshot_id: int


def export_site(opened: OpenedSuite, directory: Path, n_pages: int) -> Exported:
    """Write the site to a directory; an earlier export there is replaced as a whole, once the new one is there.

    Parameters
    ----------
    n_pages
        So many of each product's newest pages get a file of their own.

    Raises
    ------
    UsageError
        If the directory holds something else.
    RunFailed
        If it cannot be written.
    """
    directory = directory.absolute()
    if directory.exists() and (
        not directory.is_dir() or (any(directory.iterdir()) and not (directory / _MARK).exists())
    ):
        raise UsageError(f"--export {directory}: it holds something else; name a new directory, or an earlier export.")
    beside = directory.with_name(f".{directory.name}-{uuid.uuid4().hex[:8]}")
    try:
        beside.mkdir(parents=True)
        with opened.seen(n_pages=n_pages) as seen:
            n_files = _write(opened, seen, beside)
            snapshot_id = seen.snapshot_id
        (beside / _MARK).touch()
        _put_in_place(beside, directory)
    except OSError as error:
        raise RunFailed(
            f"the site cannot be written to {directory}: {error}. What was there before is there."
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Exported(directory, n_files, snapshot_id)


def _may_be_replaced(directory: Path) -> bool:
    if not directory.exists():
        return True
    return directory.is_dir() and ((directory / _MARK).exists() or not any(directory.iterdir()))


def _write(opened: OpenedSuite, seen: Seen, directory: Path) -> int:
    waiting, known = [paths.HOME], {paths.HOME, paths.STYLE}
    frame = Frame(opened.root.name, seen.snapshot_id, seen.now, opened.refused)
    (directory / paths.STYLE).write_text(style(), encoding="utf-8")
    while waiting:
        path = waiting.pop()
        text, links = html_of(document_of(seen, path), frame)
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
        for link in links:
            there = link.partition("#")[0]
            if there not in known:
                known.add(there)
                waiting.append(there)
    return len(known)


def _put_in_place(beside: Path, directory: Path) -> None:
    before = directory.with_name(f"{beside.name}-before")
    if directory.exists():
        directory.rename(before)
    beside.rename(directory)
    shutil.rmtree(before, ignore_errors=True)
