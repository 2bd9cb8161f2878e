"""Deploying: a working copy's definitions go live, by a check that passed, and production's ledger says so.

Nothing is copied: production's own directory is brought to the same commit by whatever brings it there. Where its
suite.yaml says `deploy: required`, its jobs refuse other definitions than those of the newest deployment. Going back is
a deployment of what was deployed before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from jobs.check.production import find_lake
from jobs.check.working_copy import commit_of, is_committed, uncommitted
from jobs.metering import who
from jobs.suite import Suite, almanac_version
from warehouse.errors import NotFoundError, UsageError
from warehouse.lake.lake import Lake, lake_of
from warehouse.ledger import records as ledger
from warehouse.ledger.deployments import CheckResultRecord, Deployment, deployments_of, newest_check
from warehouse.ledger.texts import all_texts, fingerprint_of_texts

#: A check that is older says little of production as it is.
VALID_FOR = timedelta(days=1)
_SHOWN = 3


@dataclass(frozen=True)
class Deployed:
    """What came of it: the deployment that is live, and whether it is a new one."""

    deployment: Deployment
    is_new: bool


def deploy(suite: Suite, against: Path | None, reason: str, *, force: bool = False) -> Deployed:
    """Record in production's ledger that a working copy's definitions are live from now on.

    Parameters
    ----------
    against
        Production's suite or lake; by default the working copy's own.
    reason
        Why; not empty.
    force
        Do it whatever speaks against it, which is kept.

    Raises
    ------
    UsageError
        If something speaks against it: files that are not committed; no check of these very definitions within a day,
        or one that failed.
    """
    if not reason.strip():
        raise UsageError("--reason is empty; say why these definitions go live, such as the pull request.")
    texts = all_texts(suite.definitions)
    fingerprint = fingerprint_of_texts(texts)
    lake = _lake(suite, against)
    now = suite.clock()
    with lake.reading() as connection:
        checked = newest_check(connection, fingerprint)
        before = deployments_of(connection)
    if before and before[-1].definitions == fingerprint:
        return Deployed(before[-1], is_new=False)
    gone = before[-1].files.keys() - texts.keys() if before else set()
    problems = [*_not_committed(suite.root, [*texts, *_still_committed(suite.root, gone)]), *_of_check(checked, suite)]
    if problems and not force:
        raise UsageError(
            "these definitions were not deployed: "
            + "; ".join(problems)
            + ". Run `almanac check --record` on a commit, and deploy that; or, if it has to be, --force."
        )
    with lake.commit(f"deploy the definitions {fingerprint}") as commit:
        # Another deployment may have come in between.
        before = deployments_of(commit.connection)
        same = [one.deployment for one in before if one.definitions == fingerprint]
        record = Deployment(
            deployment=before[-1].deployment + 1 if before else 1,
            definitions=fingerprint,
            deployed_at=now,
            deployed_by=who(),
            git_commit=commit_of(suite.root),
            reason=reason,
            forced=bool(problems),
            problems=problems,
            check_id=checked.check_id if checked is not None else None,
            back_to=same[-1] if same else None,
            snapshot_id=commit.snapshot_id,
            files=texts,
        )
        ledger.append(commit, [record])
    return Deployed(record, is_new=True)


def _lake(suite: Suite, against: Path | None) -> Lake:
    """Give production's lake; of a suite that has none yet a new one, since nothing may be ingested before."""
    try:
        return find_lake(against, suite.root)
    except NotFoundError:
        root = (against or suite.root).resolve()
        if not (root / "sql").is_dir():
            raise
        lake = lake_of(root)
        lake.create(suite.clock(), almanac_version())
        return lake


def _still_committed(root: Path, paths: set[str]) -> list[str]:
    """Give those of some files that are gone, and that the commit has: that they went is not committed."""
    return [path for path in sorted(paths) if is_committed(root, path)]


def _not_committed(root: Path, paths: list[str]) -> list[str]:
    if commit_of(root) is None:
        return [f"git knows of no commit in {root}"]
    found = uncommitted(root, paths)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return [f"not committed: {', '.join(found[:_SHOWN])}{more}"] if found else []


def _of_check(checked: CheckResultRecord | None, suite: Suite) -> list[str]:
    """Say what the newest check of these definitions has against them."""
    if checked is None:
        return ["no check of these very definitions is recorded"]
    if not checked.passed:
        more = f" and {len(checked.failures) - 1} more" if len(checked.failures) > 1 else ""
        return [f"their check {checked.check_id} failed: {checked.failures[0]}{more}"]
    age = suite.clock() - checked.checked_at
    if age > VALID_FOR:
        return [f"their check {checked.check_id} is of {checked.checked_at:%Y-%m-%d %H:%M}, more than a day ago"]
    return []


def list_deployments(suite: Suite, against: Path | None) -> list[Deployment]:
    """List what was deployed, the newest first."""
    with find_lake(against, suite.root).reading() as connection:
        return deployments_of(connection)[::-1]
