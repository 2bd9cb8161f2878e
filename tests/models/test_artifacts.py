"""An artifact is not believed: what is not as it was written is refused, and nothing in it runs."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.models.artifacts import HELD_OUT_FILE, MANIFEST_FILE, MODEL_FILE
from jobs.models.versions import load_estimator, load_held_out, model_history
from jobs.pages.predict import run_page
from jobs.suite import Suite
from jobs.training.train import train
from tests.conftest import PAGE, PRODUCT
from warehouse.errors import AlmanacError
from warehouse.ledger.records import ModelRecord


class Trap:
    """A pickle that would leave a mark if anything unpickled it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.write_text, (self.mark, "unpickled"))


def record(suite: Suite, version: str = "v1") -> ModelRecord:
    with suite.lake.reading() as connection:
        return model_history(connection, PRODUCT).version(version)


def folder(suite: Suite, version: str = "v1") -> Path:
    return suite.lake.root / record(suite, version).artifact


def forged(where: Suite, data: bytes, **changes: object) -> ModelRecord:
    """Put other bytes in the model's place, with a manifest and a record that agree with them."""
    model, directory = record(where), folder(where)
    (directory / MODEL_FILE).write_bytes(data)
    manifest = json.loads((directory / MANIFEST_FILE).read_text())
    manifest["files"][MODEL_FILE] = hashlib.sha256(data).hexdigest()
    text = json.dumps(manifest | changes)
    (directory / MANIFEST_FILE).write_text(text)
    return replace(model, sha256=hashlib.sha256(text.encode()).hexdigest())


def changed_byte(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("place", [0, 1_000, -30, -1])
@pytest.mark.parametrize("file", [MODEL_FILE, MANIFEST_FILE])
def test_a_changed_byte_is_refused(trained: Suite, file: str, place: int) -> None:
    path = folder(trained) / file
    changed_byte(path, place % path.stat().st_size)
    with pytest.raises(AlmanacError, match="its bytes have changed"):
        load_estimator(trained.lake, record(trained))
    with pytest.raises(AlmanacError, match="its bytes have changed"):
        run_page(trained, PRODUCT, PAGE)


def test_a_changed_byte_of_what_was_held_out_is_refused(trained: Suite) -> None:
    assert load_held_out(trained.lake, record(trained)) is not None
    changed_byte(folder(trained) / HELD_OUT_FILE, 100)
    with pytest.raises(AlmanacError, match="its bytes have changed"):
        load_held_out(trained.lake, record(trained))


def test_a_pickle_in_the_models_place_is_not_unpickled(trained: Suite, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    model = forged(trained, pickle.dumps(Trap(mark)))
    with pytest.raises(AlmanacError, match="no skops file"):
        load_estimator(trained.lake, model)
    assert not mark.exists()


def test_a_pickle_inside_a_skops_file_is_not_unpickled(trained: Suite, tmp_path: Path) -> None:
    """Where an array is expected, numpy would unpickle one of objects if it were allowed to."""
    mark = tmp_path / "mark"
    source = zipfile.ZipFile(io.BytesIO((folder(trained) / MODEL_FILE).read_bytes()))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            trapped = pickle.dumps(Trap(mark)) if name.endswith(".npy") else source.read(name)
            target.writestr(name, trapped)
    model = forged(trained, out.getvalue())
    with pytest.raises(AlmanacError, match="no skops file"):
        load_estimator(trained.lake, model)
    assert not mark.exists()


def skops_of(value: object) -> bytes:
    from skops.io import dumps

    return bytes(dumps(value))


def test_a_type_that_is_not_trusted_is_named_and_not_made(trained: Suite) -> None:
    from sklearn.preprocessing import FunctionTransformer

    model = forged(trained, skops_of(FunctionTransformer(func=hashlib.sha256)))
    with pytest.raises(AlmanacError, match=r"types that are not trusted: .*sha256"):
        load_estimator(trained.lake, model)


def test_a_type_of_the_tests_own_is_trusted_only_where_the_product_names_its_module(trained: Suite) -> None:
    from jobs.models.clipping import Clip
    from tests.own_steps import Doubled

    assert isinstance(load_estimator(trained.lake, forged(trained, skops_of(Clip()))), Clip)
    model = forged(trained, skops_of(Doubled()))
    with pytest.raises(AlmanacError, match=r"not trusted: tests\.own_steps\.Doubled"):
        load_estimator(trained.lake, model)
    named = replace(model, pipeline=json.dumps("tests.own_steps:make"))
    assert isinstance(load_estimator(trained.lake, named), Doubled)


Forge = Callable[[Suite], ModelRecord]
FORGERIES: dict[str, tuple[Forge, str]] = {
    "another suite's": (lambda s: forged(s, (folder(s) / MODEL_FILE).read_bytes(), suite="x"), "another suite"),
    "another version's": (
        lambda s: forged(s, (folder(s) / MODEL_FILE).read_bytes(), version="v9"),
        "that of late_order v9",
    ),
    "another product's": (lambda s: forged(s, (folder(s) / MODEL_FILE).read_bytes(), product="p"), "that of p v1"),
    "an empty file": (lambda s: forged(s, b""), "no skops file"),
    "half a file": (lambda s: forged(s, (folder(s) / MODEL_FILE).read_bytes()[:5_000]), "no skops file"),
    "a zip of nothing": (lambda s: forged(s, b"PK\x05\x06" + bytes(18)), "no skops file"),
    "a path that climbs": (lambda s: replace(record(s), artifact=f"artifacts/{PRODUCT}/../../../x"), "leads out"),
    "an absolute path": (lambda s: replace(record(s), artifact="/etc"), "leads out"),
    "another product's folder": (lambda s: replace(record(s), artifact="artifacts/other/v1"), "leads out"),
    "a name with a NUL": (lambda s: replace(record(s), artifact="artifacts/\0"), "cannot be read"),
}


@pytest.mark.parametrize("case", FORGERIES)
def test_a_forgery_is_refused(trained: Suite, case: str) -> None:
    forge, words = FORGERIES[case]
    with pytest.raises(AlmanacError, match=words):
        load_estimator(trained.lake, forge(trained))


def test_a_link_that_leads_elsewhere_is_not_followed(trained: Suite, tmp_path: Path) -> None:
    path = folder(trained) / MODEL_FILE
    path.rename(tmp_path / "model.skops")
    path.symlink_to(tmp_path / "model.skops")
    with pytest.raises(AlmanacError, match="leads out"):
        load_estimator(trained.lake, record(trained))


def test_files_swapped_between_two_versions_are_refused(trained: Suite) -> None:
    train(trained, PRODUCT, PAGE)
    (folder(trained, "v1") / MODEL_FILE).write_bytes((folder(trained, "v2") / MODEL_FILE).read_bytes())
    with pytest.raises(AlmanacError, match="its bytes have changed"):
        load_estimator(trained.lake, record(trained, "v1"))
    (folder(trained, "v1") / MANIFEST_FILE).write_bytes((folder(trained, "v2") / MANIFEST_FILE).read_bytes())
    with pytest.raises(AlmanacError, match="its bytes have changed"):
        load_estimator(trained.lake, record(trained, "v1"))


def test_a_file_that_is_gone_says_what_to_restore(trained: Suite) -> None:
    (folder(trained) / MODEL_FILE).unlink()
    with pytest.raises(AlmanacError, match=r"Restore artifacts/late_order/v1-.*, or train anew"):
        run_page(trained, PRODUCT, PAGE)
