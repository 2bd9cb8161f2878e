"""Which path shows what: the one list of the site's pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jobs.web.parts import paths
from jobs.web.parts.document import Document
from jobs.web.parts.seen import Seen
from jobs.web.views.clock import clock
from jobs.web.views.costs import costs
from jobs.web.views.home import home
from jobs.web.views.lineage import lineage, traced
from jobs.web.views.monitoring import column, monitoring
from jobs.web.views.page import day, page, year
from jobs.web.views.product import product
from jobs.web.views.retraining import freshness, rehearsal, retraining
from jobs.web.views.rollouts import rollout, rollouts
from jobs.web.views.run import run
from jobs.web.views.sources import source, sources
from jobs.web.views.versions import version, versions
from warehouse.errors import NotFoundError

View = Callable[[Seen, Mapping[str, str]], Document]


@dataclass(frozen=True)
class Route:
    """A path with names in braces, and what shows it."""

    pattern: str
    view: View

    def match(self, path: str) -> dict[str, str] | None:
        """Give the names in a path; None if it is of another kind."""
        parts = re.split(r"\{(\w+)\}", self.pattern)
        text = "".join(f"(?P<{part}>[^/]+)" if n % 2 else re.escape(part) for n, part in enumerate(parts))
        found = re.fullmatch(text, path)
        return found.groupdict() if found else None


ROUTES: tuple[Route, ...] = (
    Route("index.html", home),
    Route("products/{product}/index.html", product),
    Route("products/{product}/calendar-{year}.html", year),
    Route("products/{product}/days/{day}.html", day),
    Route("products/{product}/pages/{page}.html", page),
    Route("products/{product}/versions.html", versions),
    Route("products/{product}/versions/{version}.html", version),
    Route("products/{product}/monitoring.html", monitoring),
    Route("products/{product}/columns/{kind}/{column}.html", column),
    Route("products/{product}/rollouts.html", rollouts),
    Route("products/{product}/rollouts/{rollout}.html", rollout),
    Route("products/{product}/retraining.html", retraining),
    Route("products/{product}/freshness/{measured}.html", freshness),
    Route("products/{product}/rehearsals/{measured}.html", rehearsal),
    Route("clock.html", clock),
    Route("runs/{run}.html", run),
    Route("sources.html", sources),
    Route("sources/{source}.html", source),
    Route("lineage.html", lineage),
    Route("lineage/{source}/{column}.html", traced),
    Route("costs.html", costs),
)


def document_of(seen: Seen, path: str) -> Document:
    """Make the page of a path.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    for route in ROUTES:
        names = route.match(path)
        if names is None:
            continue
        if "product" in names:
            known = paths.named(names["product"], seen.suite.definitions.products)
            if known is None:
                raise NotFoundError(f"the suite has no product of the path {path}.")
            names["product"] = known
        return route.view(seen, names)
    raise NotFoundError(f"there is no page {path}.")
