"""The working copy as git knows it: its commit, and what is not committed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path


def commit_of(root: Path) -> str | None:
    """Give the commit that is checked out in a directory; None if git knows of none."""
    return _git(root, "rev-parse", "HEAD")


def uncommitted(root: Path, paths: Iterable[str]) -> list[str]:
    """Give which of some files, by their paths in `root`, differ from the commit that is checked out.

    A file that the commit has and that is gone is told of if it is among `paths`; one that git ignores is not
    committed either.
    """
    changed = []
    for path in paths:
        committed = _git(root, "rev-parse", f"HEAD:./{path}")
        there = (root / path).is_file()
        if not there or committed is None or committed != _git(root, "hash-object", "--", path):
            changed.append(path)
    return changed


def is_committed(root: Path, path: str) -> bool:
    """Tell whether the commit that is checked out has a file."""
    return _git(root, "rev-parse", f"HEAD:./{path}") is not None


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
