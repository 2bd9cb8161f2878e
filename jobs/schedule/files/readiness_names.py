"""Names of what the clock asks about a page besides readiness queries; no file can bear one of them."""

from __future__ import annotations

#: The word that `ready_when` uses for the watermarks of the sources that a product reads.
WATERMARKS = "watermarks"
_OF = f"{WATERMARKS} of "
#: The words that `unless` uses.
NOTHING_NEW = "nothing new"
_NEWS_OF = f"{NOTHING_NEW} of "


def watermarks_of(product: str) -> str:
    """Name the question whether the sources of a product have delivered."""
    return f"{_OF}{product}"


def product_of(name: str) -> str | None:
    """Give the product whose sources' watermarks a name asks for; None if it is that of a readiness query."""
    return name.removeprefix(_OF) if name.startswith(_OF) else None


def nothing_new_of(product: str) -> str:
    """Name the question whether a page of a product would say what the page before says."""
    return f"{_NEWS_OF}{product}"


def product_of_news(name: str) -> str | None:
    """Give the product whose news a name asks for; None if it asks for something else."""
    return name.removeprefix(_NEWS_OF) if name.startswith(_NEWS_OF) else None
