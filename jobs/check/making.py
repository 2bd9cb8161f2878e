"""The pages that a check compares: production's, and those that the working copy makes in the scratch lake.

What production published stays as it was at a snapshot of the scratch lake, which can be read for as long as it is
there. Pages that late facts have made stale are first made again under production's definitions, so that what differs
afterwards comes of the change alone.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobs.check.changes import TRAINED_AFTER
from jobs.check.results import ProductCheck
from jobs.facts.databases.memory import bound_memory
from jobs.facts.derive import Derived, derive
from jobs.models.versions import model_history
from jobs.pages.batches import PagesWanted, make_in_batches
from jobs.pages.make import PagesResult
from jobs.pages.outcomes import matured_pages
from jobs.pages.predict import writers
from jobs.pages.states import page_states
from jobs.progress import Progress
from jobs.rollout.judge import Verdict
from jobs.suite import Suite
from jobs.training.register import Order
from jobs.training.train import train
from warehouse.definitions import Product
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import held_facts
from warehouse.ledger.erasures import COUNTED
from warehouse.ledger.recorded_deliveries import recorded_deliveries
from warehouse.queries.bounded_functions import bound_functions
from warehouse.wording import counted


@dataclass(frozen=True)
class ChosenPages:
    """The pages that are compared: the newest published ones, and the newest of them whose labels have matured."""

    newest: list[datetime]
    matured: list[datetime]

    @property
    def all(self) -> list[datetime]:
        """Both, ascending."""
        return sorted({*self.newest, *self.matured})


@dataclass(frozen=True)
class Made:
    """What was made: production's pages stand at `snapshot_before`, the working copy's at the newest snapshot."""

    pages: ChosenPages
    snapshot_before: int
    result: PagesResult
    verdict: Verdict | None


def choose_pages(suite: Suite, product: Product, n_pages: int) -> ChosenPages:
    """Choose among the pages that production has published."""
    with suite.lake.reading() as connection:
        published = sorted(ledger.published_pages(connection, product.name, "predictions"))
    matured = matured_pages(suite, product, published, suite.clock())
    return ChosenPages(published[-n_pages:], matured[-n_pages:])


def derive_anew(suite: Suite, names: Sequence[str]) -> list[Derived]:
    """Make the facts of sources whose definition changed anew, in the scratch lake; nothing new is taken in.

    Raises
    ------
    IngestFailed
        If recorded deliveries cannot be read again.
    """
    made = []
    for name in names:
        source = suite.definitions.source(name)
        with (
            suite.staging(f"derive-{uuid.uuid4().hex[:12]}") as directory,
            contextlib.closing(suite.lake.connect()) as connection,
        ):
            bound_functions(connection)
            recorded = recorded_deliveries(connection, source)
            held = held_facts(connection).get(name)
            if recorded and (held is None or held.of(source) is None):
                bound_memory(connection, directory)
                made.append(derive(suite, source, recorded, connection, directory))
    return made


def make_before(suite: Suite, product: Product, pages: Sequence[datetime], progress: Progress) -> int:
    """Make those pages again that are stale under production's definitions, which `suite` has; give how many."""
    states = page_states(suite, product, pages)
    stale = [state.as_of for state in states if state.stale and state.rolled_back is None and state.unfit is None]
    if stale:
        models = writers(suite, product, stale, hindsight=True)
        make_in_batches(suite, PagesWanted(product, stale, models, keep_going=True, alone=True), progress)
    return len(stale)


def said_of_the_erased(suite: Suite, product: Product, pages: Sequence[datetime]) -> list[str]:
    """Say that pages had counted persons whose facts are gone: they are not stale, and what is made anew differs."""
    with suite.lake.reading() as connection:
        records = ledger.published_pages(connection, product.name, "predictions", pages)
    n_pages = sum((record.note or "").startswith(COUNTED) for record in records.values())
    if not n_pages:
        return []
    said = f"{counted(n_pages, 'page')} had counted a person who was erased since"
    return [f"{said}: what differs there can come of that, and not of the change"]


def make_after(
    suite: Suite,
    product: Product,
    found: ProductCheck,
    pages: ChosenPages,
    version: str | None,
    progress: Progress,
) -> Made:
    """Train a version where it takes one, and make the pages under the working copy's definitions.

    Parameters
    ----------
    suite
        The working copy's definitions on the scratch lake.
    found
        Is told who wrote the pages.
    version
        Who is to write them; None: a version trained for it where features, label or model changed, and otherwise
        who wrote them before.

    Raises
    ------
    UsageError
        If no version can write the pages.
    """
    with suite.lake.reading() as connection:
        before = ledger.newest_snapshot(connection)
        history = model_history(connection, product.name)
        records = ledger.published_pages(connection, product.name, "predictions", pages.all)
    wrote = {records[page].model_version for page in pages.all}
    found.before_versions = sorted(name for name in wrote if name is not None)
    verdict = None
    if version is None and any(change in found.changed for change in TRAINED_AFTER):
        cutoffs = [history.version(name).label_cutoff for name in found.before_versions]
        known = [cutoff for cutoff in cutoffs if cutoff is not None]
        # No version has seen more than that of any page, so that both sides are as honest as each other.
        found.trained_as_of = min([*known, pages.all[0]])
        trained = train(suite, product.name, found.trained_as_of, progress, order=Order("a check", may_promote=False))
        version, verdict = trained.model.version, trained.verdict
    found.version = version or ", ".join(found.before_versions)
    models = writers(suite, product, pages.all, version=version, hindsight=True)
    wanted = PagesWanted(product, pages.all, models, keep_going=True, alone=True)
    return Made(pages, before, make_in_batches(suite, wanted, progress), verdict)


def labels_file(directory: Path, name: str) -> Path:
    """Name the file of labels of a product's definitions, before or after."""
    return directory / f"labels-{name}-{uuid.uuid4().hex[:8]}.parquet"
