"""Where each page of the site is. A name becomes part of a path that is the same on the server and on disk.

All paths are relative to the site's root and end in `.html`, so that the files of an export link to each other from any
place, whether a server hands them out or not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime

HOME, SOURCES, CLOCK, LINEAGE, COSTS = "index.html", "sources.html", "clock.html", "lineage.html", "costs.html"
STYLE = "style.css"
#: Longer names are cut, so that a file system takes them; a hash tells them apart.
_LONGEST = 100


def slug(name: str) -> str:
    """Write a name with letters, digits, `_`, `-` and `.` only; another byte is `~` and its two hexadecimal digits."""
    kept = "".join(
        sign if sign.isascii() and (sign.isalnum() or sign in "_-") else _escaped(sign) if sign != "." else "."
        for sign in name
    )
    if kept.startswith("."):
        kept = f"~2e{kept[1:]}"
    if len(kept) > _LONGEST:
        kept = f"{kept[:_LONGEST]}~~{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return kept or "~"


def _escaped(sign: str) -> str:
    return "".join(f"~{byte:02x}" for byte in sign.encode("utf-8", "surrogatepass"))


def named(text: str, names: Iterable[str]) -> str | None:
    """Give the name of which `text` is the slug; None if it is of none of them."""
    return next((name for name in names if slug(name) == text), None)


def of_source(source: str) -> str:
    """Give the path of a source."""
    return f"sources/{slug(source)}.html"


def of_product(product: str, what: str = "index") -> str:
    """Give the path of a product, or of one of its views."""
    return f"products/{slug(product)}/{what}.html"


def of_page(product: str, as_of: datetime) -> str:
    """Give the path of a page of predictions."""
    return of_product(product, f"pages/{stamp(as_of)}")


def of_version(product: str, version: str) -> str:
    """Give the path of a model version."""
    return of_product(product, f"versions/{slug(version)}")


def of_column(product: str, kind: str, column: str) -> str:
    """Give the path of a column that is watched."""
    return of_product(product, f"columns/{slug(kind)}/{slug(column)}")


def of_run(run: int) -> str:
    """Give the path of a run of the clock."""
    return f"runs/{run}.html"


def of_measurement(product: str, what: str, measured: str) -> str:
    """Give the path of a rehearsal (`rehearsals`), or of a measurement of what fresh data is worth (`freshness`)."""
    return of_product(product, f"{what}/{slug(measured)}")


def of_traced(owner: str, column: str) -> str:
    """Give the path of a source's column in the lineage."""
    return f"lineage/{slug(owner)}/{slug(column)}.html"


def stamp(as_of: datetime) -> str:
    """Write an instant (naive UTC) as part of a path."""
    return f"{as_of:%Y-%m-%dT%H%M%S}{f'.{as_of.microsecond:06d}' if as_of.microsecond else ''}Z"


def instant_of(text: str) -> datetime | None:
    """Read what `stamp` wrote; None if it is no such text."""
    for form in ("%Y-%m-%dT%H%M%SZ", "%Y-%m-%dT%H%M%S.%fZ"):
        try:
            found = datetime.strptime(text, form)
        except ValueError:
            continue
        return found if stamp(found) == text else None
    return None


def relative(here: str, there: str) -> str:
    """Give the link from a page to another one."""
    path, mark, anchor = there.partition("#")
    return f"{'../' * here.count('/')}{path}{mark}{anchor}"
