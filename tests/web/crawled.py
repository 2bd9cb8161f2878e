"""A page of HTML read as tests need it: its links, anchors, copied texts, and rows of tables."""

from __future__ import annotations

import posixpath
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag

from jobs.suite import open_suite
from jobs.web.parts import paths
from tests.conftest import NOW, PRODUCT, clock_at
from tests.lakes import rows

#: One page of each kind; for `*` stands the name of what was measured.
SAMPLES = (
    "index.html",
    "clock.html",
    "sources.html",
    "sources/orders.html",
    "lineage.html",
    "lineage/orders/depot.html",
    "costs.html",
    "products/late_order/index.html",
    "products/late_order/calendar-2026.html",
    "products/late_order/days/2026-03-10.html",
    "products/late_order/pages/2026-03-31T170000Z.html",
    "products/late_order/versions.html",
    "products/late_order/versions/v3.html",
    "products/late_order/monitoring.html",
    "products/late_order/columns/features/depot.html",
    "products/late_order/rollouts.html",
    "products/late_order/retraining.html",
    "products/late_order/freshness/*.html",
    "products/late_order/rehearsals/*.html",
    "runs/1.html",
)


def sample(root: Path, path: str) -> str:
    """Give the path of a page of each kind, with the name of what was measured in the suite."""
    if "*" not in path:
        return path
    what = path.split("/")[-2]
    key = {"freshness": "freshness_id", "rehearsals": "rehearsal_id"}[what]
    suite = open_suite(root, clock_at(NOW))
    ((measured,),) = rows(suite, f"SELECT {key} FROM ledger.{what} WHERE product = '{PRODUCT}'")
    suite.lake.close()
    return path.replace("*", paths.slug(measured))


class Read(HTMLParser):
    """What stands in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.tags.append(tag)
        if given.get("href"):
            self.links.append(str(given["href"]))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "tr":
            self.rows.append([])
        if tag == "td" and self.rows:
            self._in_cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data


def leads_to(here: str, link: str) -> tuple[str, str]:
    """Give the path of the site that a link of a page leads to, and the anchor there."""
    path, anchor = urldefrag(link)
    if not path:
        return here, anchor
    return posixpath.normpath(posixpath.join(posixpath.dirname(here), path)), anchor
