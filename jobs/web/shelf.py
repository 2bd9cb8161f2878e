"""The bundles that a process looks up in, and how it goes over to newer ones.

A bundle that is damaged, wrongly signed or older than what is held changes nothing: the one that is held goes on, and
the reason is told (`/readyz`). To go over is to put one object in place of another, between two requests.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from jobs.bundles.bundle_reader import MANIFEST, PREVIOUS, Bundle, NotThere, open_bundle
from jobs.bundles.key_columns import BundleRefused
from jobs.web.settings import ServeSettings

#: What is wrong is tried again after so many looks, whether or not the manifest has changed.
_TRY_AGAIN = 100


@dataclass
class _Place:
    """One directory: the bundle that is held, what its manifest looked like, and what is wrong with a newer one."""

    directory: Path
    bundle: Bundle | None = None
    seen: tuple[int, int, int] | None = None
    problem: str | None = None
    looks: int = 0


@dataclass(frozen=True)
class Standing:
    """How one bundle stands. `valid_until_us` is None where none is held."""

    place: str
    product: str | None
    snapshot_id: int | None
    as_of: str | None
    valid_until_us: int | None
    problem: str | None
    not_on_demand: str | None = None


class Shelf:
    """The bundles of all products. `look` may run in another thread than requests do."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._places = {path: _Place(path) for path in settings.bundles}
        self._retired: list[Bundle] = []
        self.bundles: dict[str, Bundle] = {}
        self.n_switches = 0

    def look(self) -> None:
        """Open what has changed; afterwards `bundles` has, of each product, the newest that is right."""
        for bundle in self._retired:
            bundle.close()
        self._retired.clear()
        for searched in self._settings.searched:
            for path in sorted(searched.glob("*.bundle")):
                self._places.setdefault(path, _Place(path))
        found: dict[str, Bundle] = {}
        for place in self._places.values():
            before = place.bundle
            self._look_at(place)
            if place.bundle is None:
                continue
            product = place.bundle.manifest.product
            if product in found:
                place.problem = f"another directory that is served holds {product} too"
                continue
            found[product] = place.bundle
            if before is not None and before is not place.bundle:
                # A request that has it in hand ends before the next look.
                self._retired.append(before)
                self.n_switches += 1
        self.bundles = found

    def _look_at(self, place: _Place) -> None:
        try:
            state = (place.directory / MANIFEST).stat()
        except OSError:
            place.seen, place.problem = None, "there is no manifest.json: nothing was exported to it, or it is gone"
            return
        seen = (state.st_ino, state.st_size, state.st_mtime_ns)
        place.looks += 1
        if seen == place.seen and not (place.problem and place.looks % _TRY_AGAIN == 0):
            return
        place.seen = seen
        held = place.bundle.manifest if place.bundle else None
        try:
            newest = self._open(place.directory, MANIFEST, place.bundle)
            place.bundle, place.problem = newest, None
        except (BundleRefused, OSError, ValueError, sqlite3.Error, MemoryError) as error:
            place.problem = f"{type(error).__name__}: {error}"
            if held is None:
                place.bundle = self._before(place.directory)

    def _open(self, directory: Path, name: str, held: Bundle | None) -> Bundle:
        opened = open_bundle(directory, self._settings.public_key, held.manifest if held else None, manifest_name=name)
        if held is not None and opened.manifest == held.manifest:
            opened.close()
            return held
        return opened

    def _before(self, directory: Path) -> Bundle | None:
        """Open the publication before, which a process that was started anew has nothing better than."""
        try:
            return self._open(directory, PREVIOUS, None)
        except (NotThere, BundleRefused, OSError, ValueError, sqlite3.Error):
            return None

    def standings(self) -> list[Standing]:
        """Tell how each bundle stands."""
        return [_standing(place) for place in self._places.values()]


def _standing(place: _Place) -> Standing:
    if place.bundle is None:
        return Standing(place.directory.name, None, None, None, None, place.problem)
    held, until = place.bundle.manifest, place.bundle.valid_until_us
    as_of = f"{held.as_of.isoformat()}Z"
    name = place.directory.name
    return Standing(name, held.product, held.snapshot_id, as_of, until, place.problem, held.not_on_demand)
