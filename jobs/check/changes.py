"""What changed between production's definitions and the working copy's: files, products, and what of a product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.check.production import Production
from warehouse.definitions import Definitions, Product

FEATURES, LABEL, MODEL, CHECKS, PAGES = "features", "label", "model", "checks", "pages"
#: Changes after which a version is trained.
TRAINED_AFTER = (FEATURES, LABEL, MODEL)


def changed_files(production: Production, texts: Mapping[str, str], definitions: Definitions) -> dict[str, list[str]]:
    """Give the files that are added, removed and changed; of those that production's texts can tell of.

    Parameters
    ----------
    texts
        All of the working copy's.
    """
    after = dict(texts)
    if not production.is_whole:
        # What the ledger keeps bears on pages; of other files nothing is known.
        known = {path for product in definitions.products.values() for path in definitions.texts_of(product)}
        after = {path: text for path, text in texts.items() if path in known}
    before = production.texts
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(path for path in before.keys() & after.keys() if before[path] != after[path]),
    }


def files_of(
    production: Production, definitions: Definitions, product: Product, changed: Mapping[str, list[str]]
) -> list[str]:
    """Give the changed files that bear on a product, before or after."""
    own = set(definitions.texts_of(product))
    was = _before(production, product)
    if was is not None and production.definitions is not None:
        own |= production.definitions.texts_of(was).keys()
    own |= {path for paths in changed.values() for path in paths if path.endswith(".py")}
    return sorted(path for paths in changed.values() for path in paths if path in own)


def _before(production: Production, product: Product) -> Product | None:
    return production.definitions.products.get(product.name) if production.definitions is not None else None


def changes_of_product(production: Production, definitions: Definitions, product: Product) -> list[str]:
    """Say what of a product changed; all of it where production's definitions cannot be read.

    Whitespace and comments are files that changed, and nothing else.
    """
    was = _before(production, product)
    if was is None or production.definitions is None:
        return [FEATURES, LABEL, MODEL, CHECKS, PAGES]
    before = production.definitions
    pairs: dict[str, tuple[Any, Any]] = {
        FEATURES: (before.page_fingerprint(was), definitions.page_fingerprint(product)),
        LABEL: (_label(before, was), _label(definitions, product)),
        MODEL: (_model(was), _model(product)),
        CHECKS: (_checks(was), _checks(product)),
        PAGES: (was.header.pages, product.header.pages),
    }
    return [name for name, (one, other) in pairs.items() if one != other]


def _label(definitions: Definitions, product: Product) -> Any:
    return definitions.label_definition(product), product.header.label.model_dump(mode="json")


def _model(product: Product) -> Any:
    rule = product.rule.fingerprint if product.rule is not None else None
    return product.header.model.model_dump(mode="json"), rule, product.quantiles


def _checks(product: Product) -> Any:
    own = {check.name: (check.query.fingerprint, check.header.severity) for check in product.checks}
    return own, product.header.checks.model_dump(mode="json"), product.header.monitor.model_dump(mode="json")
