"""What `ready_when` can name besides a readiness query: the watermarks of the sources that a product reads."""

from __future__ import annotations

#: The word that a schedule uses.
WATERMARKS = "watermarks"
_OF = f"{WATERMARKS} of "


def watermarks_of(product: str) -> str:
    """Name the question whether the sources of a product have delivered; no file can bear that name."""
    return f"{_OF}{product}"


def product_of(name: str) -> str | None:
    """Give the product whose sources' watermarks a name asks for; None if it is that of a readiness query."""
    return name.removeprefix(_OF) if name.startswith(_OF) else None
