"""The kinds of work that a schedule can run: one tuple, from which YAML's keys, their JSON Schema and commands follow.

A new kind is one entry here, one row in docs/schedule.md, and `python -m jobs.schedule.files.schema` once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Takes(Enum):
    """What stands behind the key of a kind of work."""

    SOURCES = "sources"
    PRODUCT = "product"
    NOTHING = "nothing"
    FUNCTION = "function"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of work.

    Attributes
    ----------
    name
        Its key under `run:`.
    takes
        What the key's value is.
    description
        The key, explained to people by their editors.
    command
        The words of the child process. `{almanac}` stands for the command line of this suite, `{python}` for this
        interpreter told to run a module, `{name}` and `{names}` for what the value names, `{page}` for the first
        page's as_of, `{until}` for just after the last one's, `{tick}` for the instant of the last tick, `{job}` for
        the job's name.
    catching_up
        The same for ticks that were missed, if they are made good in another way.
    in_a_word
        Whether `run: NAME` is enough.
    writes_pages
        Whether it writes pages of the product that it names, so that no two such runs may overlap.
    """

    name: str
    takes: Takes
    description: str
    command: tuple[str, ...]
    catching_up: tuple[str, ...] | None = None
    in_a_word: bool = False
    writes_pages: bool = False


#: In the order in which messages and the schema name them.
KINDS: tuple[Kind, ...] = (
    Kind(
        "ingest",
        Takes.SOURCES,
        "Ingest these sources; `run: ingest` is all of them.",
        ("{almanac}", "ingest", "{names}"),
        in_a_word=True,
    ),
    # A tick makes one page; what was missed is one child for all the pages, which makes those that are not there yet.
    Kind(
        "predict",
        Takes.PRODUCT,
        "Make a page of this product.",
        ("{almanac}", "run", "{name}", "--as-of", "{page}"),
        catching_up=("{almanac}", "backfill", "{name}", "--from", "{page}", "--to", "{until}"),
        writes_pages=True,
    ),
    Kind(
        "train",
        Takes.PRODUCT,
        "Train a model of this product.",
        ("{almanac}", "train", "{name}", "--as-of", "{tick}"),
    ),
    # It asks as of now, whichever tick it is for, so that of several missed ticks one does the work of all.
    Kind(
        "retrain",
        Takes.PRODUCT,
        "Train this product again if `when` says so, and roll out or promote what comes of it.",
        ("{almanac}", "retrain", "{name}", "--job", "{job}", "--tick", "{tick}"),
    ),
    # What waits is what goes out, so that of several missed ticks one does the work of all.
    Kind(
        "export",
        Takes.PRODUCT,
        "Hand this product's publications to its targets.",
        ("{almanac}", "export", "{name}"),
    ),
    # One look judges every page whose labels have come since the last.
    Kind(
        "monitor",
        Takes.PRODUCT,
        "Judge this product's published pages: drift, and performance by the labels that have come.",
        ("{almanac}", "monitor", "{name}"),
    ),
    # One look after each page whose labels have matured since the last, so that a missed tick is made good by the next.
    Kind(
        "rollout",
        Takes.PRODUCT,
        "Look at this product's rollout, and carry out what follows: advance, promote, abort.",
        ("{almanac}", "rollout", "look", "{name}"),
    ),
    Kind(
        "upkeep",
        Takes.NOTHING,
        "Look after the lake; `run: upkeep` for short.",
        ("{almanac}", "upkeep"),
        in_a_word=True,
    ),
    Kind(
        "python",
        Takes.FUNCTION,
        "Call package.module:function(as_of) in a child process.",
        ("{python}", "jobs.schedule.processes.call", "{name}", "--as-of", "{tick}"),
    ),
    Kind(
        "shell",
        Takes.COMMAND,
        "Run this with /bin/sh; see ALMANAC_AS_OF.",
        ("/bin/sh", "-c", "{name}"),
    ),
)


def kind_of(name: str) -> Kind:
    """Give a kind of work by its name; KeyError if there is none."""
    return {kind.name: kind for kind in KINDS}[name]
