"""Documents as HTML. The template escapes every text; only pictures that were drawn here are put in as they are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.web.parts import paths
from jobs.web.parts.document import Document
from jobs.web.parts.months import MARKS

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATES = Path(__file__).parent / "templates"
_AREAS = (
    ("Products", paths.HOME),
    ("Sources", paths.SOURCES),
    ("Clock", paths.CLOCK),
    ("Lineage", paths.LINEAGE),
    ("Costs", paths.COSTS),
)


@dataclass(frozen=True)
class Frame:
    """What stands around every page: the suite's name, the state and time that are shown, and what is wrong with it."""

    suite: str
    snapshot_id: int | None
    now: datetime
    notices: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass
class Links:
    """Writes links from one page, and keeps where they lead to."""

    here: str
    found: list[str] = field(default_factory=list)

    def __call__(self, there: str) -> str:
        """Give the link to a path of the site."""
        self.found.append(there)
        return paths.relative(self.here, there)


def html_of(document: Document, frame: Frame) -> tuple[str, list[str]]:
    """Write a page as HTML; gives also the paths that it links to."""
    links = Links(document.path)
    return _written(document, frame, links), links.found


def _written(document: Document, frame: Frame, link: Callable[[str], str]) -> str:
    return _template().render(
        document=document, frame=frame, link=link, areas=_AREAS, style=paths.STYLE, marks=MARKS
    )  # fmt: skip


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("document.html")


@functools.cache
def style() -> str:
    """Give the site's one style sheet."""
    return (_TEMPLATES / "style.css").read_text(encoding="utf-8")
