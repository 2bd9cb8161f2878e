"""Rollouts by hand: begin one, hold it, take it a stage further, end it. What they do by themselves is in `look`.

A step says what holds from a page on. Those that only look ahead begin with the page after the newest that there is;
the end of a canary begins with the oldest page that readers still see of it, which is given back in that commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import duckdb

from jobs.metering import RunMeter, who
from jobs.models.columns.requirements import given_columns, learnt_another_label, require_met
from jobs.models.versions import ModelHistory, model_history
from jobs.pages.scores.steps import DecidedBy, first_step, into_stage, next_step, plan_text, unit_of, without_arm
from jobs.rollout.balance import balance_of
from jobs.rollout.give_back import give_back_pages, holding_pages, pages_served
from jobs.rollout.outcome_figures import judged_by
from jobs.rollout.promotion_history import is_retired
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.definitions.rollout import RolloutSettings
from warehouse.errors import UsageError
from warehouse.lake.lake import Commit
from warehouse.ledger import records as ledger
from warehouse.ledger.decisions import decisions
from warehouse.ledger.model_record import NEVER
from warehouse.ledger.records import ModelRecord
from warehouse.ledger.rollouts import ABORT, ADVANCE, HOLD, RESUME, Course, Rollout, Step, courses_of, plan_of
from warehouse.queries.checked_query import fingerprint_of
from warehouse.system_sql import quote


@dataclass(frozen=True)
class Taken:
    """A step as recorded, the rollout that it is of, and the pages that were given back with it."""

    course: Course
    step: Step
    given_back: Sequence[datetime] = ()


def start(
    suite: Suite,
    product_name: str,
    versions: Sequence[str],
    *,
    first_page: datetime | None = None,
    reason: str | None = None,
    plan: str | None = None,
) -> Taken:
    """Begin a rollout of some versions beside the one that is live.

    Parameters
    ----------
    first_page
        An as_of of the grid, by default the page after the newest that is published; never one that is.
    plan
        One of `rollout.plans`; by default the plan that stands in `rollout` itself.

    Raises
    ------
    UsageError
        If product.yaml has no `rollout`, or no such plan, another is under way, or a version cannot be part of one.
    """
    product = suite.definitions.product(product_name)
    settings = product.header.rollout
    if settings is None:
        raise UsageError(
            f"{product.yaml_where}: there is no key `rollout`, which says by which stages a version becomes live. Add"
            " it, for example rollout: {stages: [{shadow: {pages: 14}}, {canary: {share: 10%, pages: 14}}], margin:"
            " 0.002}; see docs/rollouts.md."
        )
    settings = settings.plan(plan)
    meter = RunMeter(suite, "rollout", product.name)
    with suite.lake.commit(f"rollout of {product.name} {', '.join(versions)}") as commit:
        rollout = _rollout(suite, commit, product, settings, versions, first_page, reason)
        rollout = replace(rollout, run_id=meter.run_id, snapshot_id=commit.snapshot_id)
        ranking = product.ranking.keys if product.ranking is not None else ()
        decided = DecidedBy(rollout.started_at, rollout.started_by, reason)
        unit = unit_of(settings, product.keys, ranking)
        rollout = replace(rollout, balance=balance_of(commit.connection, product, rollout, settings, unit))
        step = first_step(rollout, unit, decided)
        step = replace(step, run_id=meter.run_id, snapshot_id=commit.snapshot_id)
        ledger.append(commit, [rollout])
        ledger.append(commit, [step])
        ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id)])
    return Taken(Course(rollout, [step]), step)


def _rollout(
    suite: Suite,
    commit: Commit,
    product: Product,
    settings: RolloutSettings,
    versions: Sequence[str],
    first_page: datetime | None,
    reason: str | None,
) -> Rollout:
    """Work out what begins, inside its commit."""
    connection, now = commit.connection, suite.clock()
    earlier = courses_of(connection, product.name)
    going = earlier.open
    if going is not None:
        raise UsageError(
            f"{product.name} is in a rollout already: {', '.join(going.newest.versions)} beside {going.rollout.live}"
            f" ({going.rollout.rollout_id}). Wait for its end, or end it: almanac rollout abort"
            f" {product.name} --why ..."
        )
    if len(versions) > 1 and any(stage.interleave for stage in settings.stages):
        raise UsageError(
            f"{product.at('rollout', 'stages')}: lists are interleaved of the live version's ranking and of one"
            f" challenger's. Name one version, or leave `interleave` out."
        )
    history = model_history(connection, product.name)
    models = [history.version(version) for version in versions]
    begins = _first_page(connection, product, models, first_page, now)
    live = history.in_effect(begins)
    columns = given_columns(connection, suite.definitions, product)
    _require_fit(suite, connection, product, history, models, live, columns)
    if columns is not None:
        _require_asked(connection, product, settings, columns)
    widest = max(1, len(versions)) * settings.largest_share
    if widest > 1:
        raise UsageError(
            f"{product.at('rollout', 'stages')}: {len(versions)} challengers of"
            f" {float(settings.largest_share) * 100:.4g}% each are more than there is. Name fewer versions, or lower"
            " `share`."
        )
    # By what it is alone, so that a rehearsal that begins the same rollout deals out entities in the same way.
    what = fingerprint_of(product.name, list(versions), live.version, len(earlier.courses), now)
    name = f"{now:%Y%m%dT%H%M%S}-{what[:8]}"
    return Rollout(
        rollout_id=name,
        product=product.name,
        versions=list(versions),
        live=live.version,
        salt=name,
        plan=plan_text(settings),
        effective_from=begins,
        label_definition=suite.definitions.label_definition(judged_by(product, settings)),
        started_at=now,
        started_by=who(),
        reason=reason,
    )


def _require_fit(
    suite: Suite,
    connection: duckdb.DuckDBPyConnection,
    product: Product,
    history: ModelHistory,
    models: Sequence[ModelRecord],
    live: ModelRecord,
    columns: Mapping[str, str] | None,
) -> None:
    """See that versions can be tried beside the live one."""
    names = [model.version for model in models]
    if len(set(names)) < len(names) or live.version in names:
        raise UsageError(
            f"name versions that differ, none of them the live one, {live.version}: they are compared with it."
        )
    made = decisions(connection, product.name)
    label = suite.definitions.label_definition(product)
    for model in models:
        if is_retired(made, model.version):
            raise UsageError(f"{product.name} {model.version} is retired. Name another version.")
        if learnt_another_label(model, label):
            raise UsageError(
                f"{product.name} {model.version} learnt another label than {product.label.where} gives now. Train a"
                f" version on the label as it is: almanac train {product.name}"
            )
        if columns is not None:
            require_met(product, model, columns)
    coming = [one for one in history.promotions if one.effective_from > max(model.writes_from for model in models)]
    later = [one for one in coming if one.version != live.version and one.effective_from > suite.clock()]
    if later:
        raise UsageError(
            f"{product.name} {later[0].version} takes over from {live.version} at {later[0].effective_from} already."
            " Begin a rollout after that."
        )


def _require_asked(
    connection: duckdb.DuckDBPyConnection, product: Product, settings: RolloutSettings, columns: Mapping[str, str]
) -> None:
    """See that the conditions of canaries can be asked of pages with these columns."""
    page = ", ".join(f"NULL::{kind} AS {quote(name)}" for name, kind in columns.items())
    for condition in [stage.canary.where for stage in settings.stages if stage.canary and stage.canary.where]:
        try:
            connection.execute(f"SELECT ({condition})::BOOLEAN FROM (SELECT {page})")
        except duckdb.Error as error:
            raise UsageError(
                f"{product.at('rollout', 'stages')}: `where: {condition}` cannot be asked of a page, whose columns are"
                f" {', '.join(columns)}: {error}"
            ) from error


def _first_page(
    connection: duckdb.DuckDBPyConnection,
    product: Product,
    models: Sequence[ModelRecord],
    wanted: datetime | None,
    now: datetime,
) -> datetime:
    """Choose the page with which a rollout begins."""
    for model in models:
        if model.writes_from == NEVER:
            raise UsageError(
                f"{product.name} {model.version} was trained elsewhere, and it is not known as of when; it may write no"
                " page. Import it again with --trained-as-of, if that is known."
            )
    earliest = max([next_page(connection, product), *(model.writes_from for model in models)])
    earliest = product.pages_between(earliest, earliest + timedelta(days=366))[0]
    if wanted is None:
        return earliest
    if wanted < earliest or product.page_at(wanted) != wanted:
        raise UsageError(
            f"--from {wanted}: the first page can be {earliest}, or a later one of {product.name}'s grid. Earlier ones"
            f" are published, or {', '.join(model.version for model in models)} has seen labels of them."
        )
    return wanted


def next_page(connection: duckdb.DuckDBPyConnection, product: Product) -> datetime:
    """Give the page after the newest that is published; the first of the grid where none is."""
    published = ledger.published_pages(connection, product.name, "predictions")
    since = product.header.pages.since
    after = max(published) + timedelta(microseconds=1) if published else since
    return product.grid.next(max(after, since))


def going_course(connection: duckdb.DuckDBPyConnection, product: Product) -> Course:
    """Give the rollout of a product that goes on.

    Raises
    ------
    UsageError
        If none does.
    """
    course = courses_of(connection, product.name).open
    if course is None:
        raise UsageError(f"{product.name} is in no rollout. Begin one: almanac rollout start {product.name} VERSION")
    return course


def hold(suite: Suite, product_name: str, why: str) -> Taken:
    """Keep a rollout from going further by itself. It goes on looking, and ends where an arm does harm."""
    return _by_hand(suite, product_name, HOLD, why)


def advance(suite: Suite, product_name: str, why: str) -> Taken:
    """Take a rollout that is held on again, or one that is not a stage further."""
    return _by_hand(suite, product_name, ADVANCE, why)


def _by_hand(suite: Suite, product_name: str, action: str, why: str) -> Taken:
    product = suite.definitions.product(product_name)
    meter = RunMeter(suite, "rollout", product.name)
    with suite.lake.commit(f"{action} the rollout of {product.name}") as commit:
        course = going_course(commit.connection, product)
        decided = DecidedBy(suite.clock(), who(), why)
        step = next_step(course, action, next_page(commit.connection, product), decided)
        if action == HOLD:
            step = replace(step, held=True)
        elif course.newest.held:
            step = replace(step, action=RESUME, held=False)
        else:
            stages = plan_of(course.rollout).stages
            if step.stage + 1 == len(stages):
                raise UsageError(
                    f"{product.name} is in the last stage of its rollout. To have {', '.join(step.versions)} write all"
                    f" of its pages, end it and promote: almanac rollout abort {product.name} --why ...; almanac"
                    f" promote {product.name} {step.versions[0]}"
                )
            step = into_stage(course, step.stage + 1, step)
        step = write_step(commit, step, meter)
        ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id)])
    return Taken(Course(course.rollout, [*course.steps, step]), step)


def write_step(commit: Commit, step: Step, meter: RunMeter) -> Step:
    """Append a step in its commit."""
    step = replace(step, run_id=meter.run_id, snapshot_id=commit.snapshot_id)
    ledger.append(commit, [step])
    return step


def abort(suite: Suite, product_name: str, why: str, version: str | None = None) -> Taken:
    """End a rollout, or take one of several versions out; what readers see of it becomes the live version's again.

    Raises
    ------
    UsageError
        If there is no rollout, or the version is not part of it.
    RunFailed
        If a page that has to be given back is just being made.
    """
    product = suite.definitions.product(product_name)
    meter = RunMeter(suite, "rollout", product.name)
    with suite.lake.reading() as connection:
        course = going_course(connection, product)
        if version is not None and version not in course.newest.versions:
            raise UsageError(
                f"{version} is not part of {product.name}'s rollout; {', '.join(course.newest.versions)} is."
            )
        pages = list(pages_served(connection, product, course.rollout.rollout_id, {course.rollout.live}))
    with (
        holding_pages(suite, product, pages),
        suite.lake.commit(f"abort the rollout of {product.name}") as commit,
    ):
        course = going_course(commit.connection, product)
        taken = take_out(commit, suite, product, course, version, DecidedBy(suite.clock(), who(), why), meter)
        ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id)])
    return taken


def take_out(
    commit: Commit,
    suite: Suite,
    product: Product,
    course: Course,
    version: str | None,
    decided: DecidedBy,
    meter: RunMeter,
    end: str = ABORT,
) -> Taken:
    """Take a version (None: all) out of a rollout, in a commit, and give back what readers see of it.

    `end` is the action of the step where no arm is left.
    """
    connection, live = commit.connection, course.rollout.live
    staying = {live, *(one for one in course.newest.versions if version is not None and one != version)}
    served = pages_served(connection, product, course.rollout.rollout_id, staying)
    begins = min([*served, next_page(connection, product)])
    step = without_arm(course, version, begins, decided)
    step = write_step(commit, replace(step, action=end) if step.is_end else step, meter)
    given = give_back_pages(commit, suite, product, live, step, meter)
    return Taken(Course(course.rollout, [*course.steps, step]), step, [page.as_of for page in given])


def require_no_rollout(connection: duckdb.DuckDBPyConnection, product: str, what: str) -> None:
    """Refuse what would change who is compared with whom in the middle of a rollout.

    Raises
    ------
    UsageError
        If one goes on.
    """
    course = courses_of(connection, product).open
    if course is not None:
        raise UsageError(
            f"{product} is in a rollout of {', '.join(course.newest.versions)} beside {course.rollout.live}, which"
            f" {what} would change. End it first, which gives {course.rollout.live} back what it serves: almanac"
            f" rollout abort {product} --why ..."
        )


def require_no_arm(connection: duckdb.DuckDBPyConnection, product: str, version: str) -> None:
    """Refuse to do away with a version that a rollout tries.

    Raises
    ------
    UsageError
        If one does.
    """
    course = courses_of(connection, product).open
    if course is not None and version in course.newest.versions:
        raise UsageError(
            f"{product} {version} is being tried in the rollout {course.rollout.rollout_id}. Take it out first: almanac"
            f" rollout abort {product} --version {version} --why ..."
        )
