"""Extensions are loaded with their signatures checked: once for as long as nothing touches the files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from warehouse.errors import UsageError
from warehouse.lake import extensions
from warehouse.lake.extensions import REQUIRED, extension_file, open_instance
from warehouse.private_cache import Stamps


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Extensions of our own, and a user's cache that knows none."""
    files = {name: Path(shutil.copy(extension_file(name), tmp_path)) for name in REQUIRED}
    (tmp_path / "cache").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(extensions, "extension_file", files.__getitem__)
    start_anew(monkeypatch)
    return files


def start_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what this process knows, as the next one does."""
    monkeypatch.setattr(extensions, "_checked", Stamps("extensions"))


def checks_signatures() -> bool:
    """Open an instance; tell whether it checked what it loaded."""
    with open_instance() as instance:
        (unsigned,) = instance.execute("SELECT current_setting('allow_unsigned_extensions')").fetchall()[0]
    return not unsigned


def test_signatures_are_checked_once_and_again_when_a_file_was_touched(
    copies: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checks_signatures()
    assert not checks_signatures()
    start_anew(monkeypatch)
    assert not checks_signatures(), "the stamp tells the next process"
    copies["ducklake"].touch()
    assert checks_signatures()


def test_a_file_changed_since_it_was_checked_is_refused_even_with_its_time_set_back(copies: dict[str, Path]) -> None:
    assert checks_signatures()
    victim = copies["sqlite_scanner"]
    before = victim.stat()
    with victim.open("r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):
        with pytest.raises(UsageError, match=r"(?s)signature.*Install DuckDB and its extensions again"):
            open_instance()


def test_a_name_of_python_is_no_table() -> None:
    """Else a table that is not there would be some variable of the program's, with whatever rows that has."""
    prices = pa.table({"price": [1, 2]})
    with open_instance() as connection:
        with pytest.raises(duckdb.CatalogException, match="prices"):
            connection.execute("SELECT sum(price) FROM prices")
        connection.register("prices", prices)
        assert connection.execute("SELECT sum(price) FROM prices").fetchall() == [(3,)]
