"""A page to look at, before it is HTML: sections of sentences, facts, a table, a picture, and how to ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.web.parts.cells import Cell, Table
from jobs.web.parts.months import Month


@dataclass(frozen=True)
class Form:
    """Fields by which something is looked up on this page: name, label and what was given; only a server answers it."""

    fields: Sequence[tuple[str, str]]
    button: str


@dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes
    ----------
    title
        What it is about; the anchor is made of it.
    sentences
        What is said above.
    facts
        Names with a cell each.
    table
        Rows, perhaps none; then `nothing` is said.
    text
        Lines that are shown as they are.
    pictures
        SVG that was drawn here, whose texts are escaped.
    months
        A calendar of pages.
    form
        Fields for a look-up.
    sql
        What gives the rows, as `almanac query` takes it.
    operations
        The same of the operational state, as `sqlite3 lake/operations.sqlite` takes it.
    commands
        What shows the same, or what somebody who decides would call.
    links
        Further pages: words, and paths of the site.
    """

    title: str
    sentences: Sequence[str] = ()
    facts: Sequence[tuple[str, Cell]] = ()
    table: Table | None = None
    nothing: str = "There is none."
    text: str = ""
    pictures: Sequence[str] = ()
    months: Sequence[Month] = ()
    form: Form | None = None
    sql: str = ""
    operations: str = ""
    commands: Sequence[str] = ()
    links: Sequence[tuple[str, str]] = ()

    @property
    def anchor(self) -> str:
        """The name by which a URL leads to this section."""
        return "".join(sign if sign.isalnum() else "-" for sign in self.title.lower())


@dataclass(frozen=True)
class Document:
    """A page to look at: where it is, where that lies (`crumbs`), its neighbours (`views`), and its sections."""

    path: str
    title: str
    sections: Sequence[Section]
    crumbs: Sequence[tuple[str, str]] = ()
    views: Sequence[tuple[str, str]] = field(default_factory=tuple)
    lead: str = ""
