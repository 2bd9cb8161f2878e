"""A bundle holds what is current, is looked up in as SQL would, and is refused when it is not what was written."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from jobs.bundles.bundle_reader import Damaged, Expired, NotThere, Older, WronglySigned, open_bundle
from jobs.bundles.key_columns import NOWHERE, KeyColumn, KeyRefused
from jobs.bundles.signatures import is_signed_by
from jobs.suite import open_suite
from jobs.web.answers import answers_of_list
from tests.command_line import said
from tests.conftest import NOW, PRODUCT, clock_at
from tests.suites.test_breakages import full_disk
from tests.web.bundles import predicted, write
from warehouse.definitions import Product
from warehouse.errors import AlmanacError, DefinitionError, RunFailed, UsageError
from warehouse.lake.extensions import open_instance

DAY = timedelta(days=1)


@pytest.fixture
def product(starter: Path) -> Product:
    return open_suite(starter, clock_at(NOW)).definitions.product(PRODUCT)


@pytest.fixture
def signing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let bundles be signed; gives the public key."""
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    monkeypatch.setenv("BUNDLE_KEY", str(tmp_path / "key.pem"))
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


#: A key's type, what is there, and what is asked for: found if SQL finds it by `=`.
ASKED: list[tuple[str, str, list[tuple[Any, str]]]] = [
    ("INTEGER", "1185", [("1185", "1185"), ("01185", "01185"), (1185, "1185"), ("1186", "1186"), (None, "NULL"),
                         (Decimal("1185.0"), "1185.0"), ("1185.5", "1185.5"), (10**30, f"{10**30}")]),
    ("BIGINT", "9007199254740993", [("9007199254740993", "9007199254740993"), (9007199254740992, "9007199254740992")]),
    ("HUGEINT", "170141183460469231731687303715884105727",
     [(str(2**127 - 1), f"{2**127 - 1}"), (2**127 - 2, f"{2**127 - 2}"), ("+1", "1")]),
    ("UBIGINT", "18446744073709551615", [(2**64 - 1, f"{2**64 - 1}"), (0, "0")]),
    ("DECIMAL(10,2)", "1.50", [("1.5", "1.5"), ("1.50", "1.50"), (Decimal("1.500"), "1.500"), ("1.505", "1.505"),
                               ("-1.50", "-1.50"), (1, "1")]),
    ("DECIMAL(4,4)", "-0.0500", [("-0.05", "-0.05"), ("0.05", "0.05")]),
    ("DECIMAL(9,0)", "-7", [("-7", "-7"), ("-7.0", "-7.0"), ("-7.1", "-7.1")]),
    ("DOUBLE", "0.1", [("0.1", "0.1"), (0.1, "0.1"), ("0.10", "0.10"), ("0.2", "0.2")]),
    ("BOOLEAN", "true", [("true", "true"), (False, "false"), (True, "true")]),
    ("DATE", "'2024-02-29'", [("2024-02-29", "'2024-02-29'"), ("2024-03-01", "'2024-03-01'")]),
    ("TIMESTAMP", "'2026-03-10 18:00:00.5'",
     [("2026-03-10T18:00:00.500Z", "'2026-03-10 18:00:00.500'"), ("2026-03-10 18:00:00.5", "'2026-03-10 18:00:00.5'"),
      ("2026-03-10T19:00:00.5+01:00", "'2026-03-10 18:00:00.5'"), ("2026-03-10", "'2026-03-10'")]),
    ("VARCHAR", "'a''b' || chr(0) || 'Ä'", [("a'b\0Ä", "'a''b' || chr(0) || 'Ä'"), ("a'b", "'a''b'"), ("", "''"),
                                            ("\ud800", "NULL")]),
    ("UUID", "'0b5e0c3e-6c1f-4d0f-9a55-0d6f2f6f1f0a'",
     [("0B5E0C3E-6C1F-4D0F-9A55-0D6F2F6F1F0A", "'0b5e0c3e-6c1f-4d0f-9a55-0d6f2f6f1f0a'")]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "there", "asked"), ASKED, ids=[each[0] for each in ASKED])
def test_a_key_is_found_where_sql_finds_it(
    kind: str, there: str, asked: list[tuple[Any, str]], product: Product, tmp_path: Path
) -> None:
    write(tmp_path / "x.bundle", product, predicted(f'({there})::{kind} AS "a ""key"""'), ('a "key"',))
    bundle = open_bundle(tmp_path / "x.bundle")
    hits = []
    with contextlib.closing(bundle), contextlib.closing(open_instance()) as connection:
        for given, literal in asked:
            row = connection.execute(f"SELECT coalesce(({there})::{kind} = {literal}, false)").fetchone()
            found = bundle.look_up({'a "key"': given}, NOW)
            assert (found is not None) == (row == (True,)), given
            hits.append(found is not None)
        assert hits[0] != (kind == "nothing")
        for odd in ([], {}, b"x"):
            with pytest.raises(KeyRefused):
                bundle.look_up({'a "key"': odd}, NOW)
        for keys in ({}, {"other": 1}, {'a "key"': asked[0][0], "other": 1}):
            with pytest.raises(KeyRefused, match="give each of these once"):
                bundle.look_up(keys, NOW)


_WIDTHS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}


@pytest.mark.parametrize("kind", [*_WIDTHS, *(f"U{kind}" for kind in _WIDTHS)])
def test_a_whole_number_beyond_its_type_is_held_by_no_row(kind: str) -> None:
    read, bits = KeyColumn("k", kind).reading(), _WIDTHS[kind.removeprefix("U")]
    low, high = (0, 2**bits - 1) if kind.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    with contextlib.closing(open_instance()) as connection:
        for number in (low - 1, low, high, high + 1):
            row = connection.execute(f"SELECT TRY_CAST('{number}' AS {kind})::VARCHAR").fetchone()
            expected = None if row is None else row[0]
            for given in (number, str(number)):
                found = read(given)
                assert (None if found is NOWHERE else str(found)) == expected, given


@pytest.mark.parametrize(
    ("kind", "odd"),
    [("INTEGER", "1e3"), ("INTEGER", True), ("INTEGER", " 1"), ("INTEGER", "١"), ("VARCHAR", 1), ("DATE", "20240229"),
     ("DATE", "2024-02-30"), ("TIMESTAMP", "2026-W01"), ("BOOLEAN", 1), ("UUID", "0b5e"), ("DECIMAL(4,1)", "x")],
)  # fmt: skip
def test_what_is_not_of_the_type_is_refused_and_not_shown(
    kind: str, odd: Any, product: Product, tmp_path: Path
) -> None:
    write(tmp_path / "x.bundle", product, f"{predicted(f'NULL::{kind} AS k')} LIMIT 0", ("k",))
    with pytest.raises(KeyRefused, match="`k` is") as refused:
        open_bundle(tmp_path / "x.bundle").look_up({"k": odd}, NOW)
    assert str(odd) not in str(refused.value).partition(" such as ")[0].replace("true or false", "")


def test_whole_numbers_that_not_every_reader_of_json_holds_are_said_as_text() -> None:
    column = KeyColumn("k", "BIGINT")
    for kept, said_as in ((2**53, 2**53), (-(2**53), -(2**53)), (2**53 + 1, str(2**53 + 1)), (-(2**60), str(-(2**60)))):
        assert column.said(kept) == said_as
        assert column.saying()(kept) == json.dumps(said_as)


def test_classes_quantiles_and_reasons_are_said_as_the_page_has_them(product: Product, tmp_path: Path) -> None:
    more = """'late' AS prediction, MAP {'late': 0.75, 'on "time"': 0.25} AS probabilities,
        {'q10': 1.5, 'q90': 1e300} AS quantiles, NULL::VARCHAR AS arm,
        [{'feature': 'hours', 'contribution': 0.1::FLOAT}] AS reasons"""
    write(tmp_path / "x.bundle", product, predicted("1 AS k", more), ("k",))
    found = open_bundle(tmp_path / "x.bundle").look_up({"k": 1}, NOW)
    assert found == {
        "made": "page",
        "as_of": "2026-03-10T00:00:00Z",
        "model_version": "v1",
        "arm": None,
        "valid_until": "2999-01-01T00:00:00Z",
        "prediction": "late",
        "probabilities": {"late": 0.75, 'on "time"': 0.25},
        "quantiles": {"q10": 1.5, "q90": 1e300},
        "reasons": [{"feature": "hours", "contribution": 0.10000000149011612}],
    }


def test_a_list_is_looked_up_whole_by_rank_or_by_entry(starter: Path, tmp_path: Path) -> None:
    header = starter / f"sql/products/{PRODUCT}/product.yaml"
    text = header.read_text().replace("keys: [order_id]", "keys: [order_id, courier]")
    header.write_text(text.replace("kind: binary  ", "kind: ranking\n  list: [courier]\n  top: 3\n  at_most: 9\n  #"))
    ranked = open_suite(starter, clock_at(NOW)).definitions.product(PRODUCT)
    select = predicted("'c' || i // 3 AS courier, i AS order_id", "i / 10.0::DOUBLE AS score, 3 - i % 3 AS rank")
    write(tmp_path / "x.bundle", ranked, f"{select} FROM range(9) r(i)", ("order_id", "courier"))
    bundle = open_bundle(tmp_path / "x.bundle")
    made, inside = answers_of_list(bundle, {"courier": "c1"}, 0)
    said = json.loads(f"{{{inside}}}")
    assert (made, [(one["keys"]["order_id"], one["rank"]) for one in said["list"]]) == (
        "page",
        [(5, 1), (4, 2), (3, 3)],
    )
    assert answers_of_list(bundle, {"courier": "nobody"}, 0)[0] == "nothing"
    assert answers_of_list(bundle, {"courier": "c1"}, 10**17) == ("expired", '"made":"expired","list":[]')
    assert (bundle.look_up({"courier": "c1", "order_id": "4"}, NOW) or {})["rank"] == 2


@pytest.mark.parametrize(
    ("select", "told"),
    [
        (predicted("1.5::FLOAT AS k"), "`k`, which is FLOAT"),
        (predicted("1 AS k", "'nan'::DOUBLE AS probability"), "NaN"),
        (predicted("NULL::INTEGER AS k"), "NOT NULL"),
        (f"{predicted('1 AS k')} FROM range(2)", "UNIQUE"),
        (predicted("1 AS k", until="9999-12-31 23:59:59.999999"), "until when"),
        (predicted("1 AS k", "1 AS probability", "infinity"), "until when"),
    ],
)
def test_what_a_bundle_cannot_hold_is_refused(select: str, told: str, product: Product, tmp_path: Path) -> None:
    with pytest.raises(AlmanacError, match=told):
        write(tmp_path / "x.bundle", product, select, ("k",))
    assert not list(tmp_path.rglob("*.sqlite"))
    assert not (tmp_path / "x.bundle").exists() or not list((tmp_path / "x.bundle").iterdir())


def test_on_a_full_disk_the_bundle_before_stays(product: Product, tmp_path: Path) -> None:
    def many(version: int) -> str:
        return f"{predicted('i AS k', f'{version}::DOUBLE AS probability')} FROM range(5000) r(i)"

    write(tmp_path / "x.bundle", product, many(1), ("k",))
    before = {path.name: path.read_bytes() for path in (tmp_path / "x.bundle").iterdir()}
    with full_disk(tmp_path), pytest.raises(RunFailed, match="what it held"):
        write(tmp_path / "x.bundle", product, many(2), ("k",), 2)
    assert {path.name: path.read_bytes() for path in (tmp_path / "x.bundle").iterdir()} == before


def test_what_was_tampered_with_cut_short_older_or_expired_is_refused(
    product: Product, tmp_path: Path, signing: str
) -> None:
    directory = tmp_path / "x.bundle"
    write(directory, product, predicted("1 AS k", until="2026-03-11"), ("k",), 1, "BUNDLE_KEY")
    old = {path.name: path.read_bytes() for path in directory.iterdir()}
    write(directory, product, predicted("2 AS k", until="2026-03-12"), ("k",), 2, "BUNDLE_KEY")
    held = open_bundle(directory, signing).manifest
    assert held.is_signed
    assert open_bundle(directory, signing, manifest_name="previous.json").manifest.snapshot_id == 1
    with pytest.raises(Expired):
        open_bundle(directory, signing, now=datetime(2026, 3, 12))
    manifest, file = directory / "manifest.json", directory / held.file
    right, whole = manifest.read_text(), file.read_bytes()
    for wrong in (whole[:-1], whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], b""):
        file.write_bytes(wrong)
        with pytest.raises(Damaged):
            open_bundle(directory, signing)
    file.write_bytes(whole)
    outer = json.loads(right)
    for changed in (
        {**outer, "manifest": outer["manifest"].replace("2026-03-12", "2027-03-12")},
        {**outer, "signature": None},
        {**outer, "signature": json.loads(old["manifest.json"])["signature"]},
    ):
        manifest.write_text(json.dumps(changed))
        with pytest.raises(WronglySigned):
            open_bundle(directory, signing)
    for damaged in (right[: len(right) // 2], "", "[]", '{"manifest": "{}", "signature": null}', '{"manifest": 1}'):
        manifest.write_text(damaged)
        with pytest.raises(Damaged):
            open_bundle(directory)
    for name, data in old.items():
        (directory / name).write_bytes(data)
    with pytest.raises(Older):
        open_bundle(directory, signing, held)
    manifest.unlink()
    with pytest.raises(NotThere):
        open_bundle(directory)


def test_signatures_are_those_of_the_library(tmp_path: Path) -> None:
    import base64

    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    order = 2**252 + 27742317777372353535851937790883648493
    for text in ("", "a", "Ä" * 99):
        right = key.sign(text.encode())
        beyond = right[:32] + (int.from_bytes(right[32:], "little") + order).to_bytes(32, "little")
        wrong = [
            other.sign(text.encode()),
            right[::-1],
            right[:-1],
            right + b"\0",
            beyond,
            bytes(64),
            b"\xff" * 64,
            b"",
        ]
        assert is_signed_by(pem, text, base64.b64encode(right).decode())
        assert not is_signed_by(pem, f"{text}.", base64.b64encode(right).decode())
        assert not any(is_signed_by(pem, text, base64.b64encode(each).decode()) for each in wrong)
    assert not is_signed_by(pem, "", "no base64!")
    with pytest.raises(ValueError, match="no public key"):
        is_signed_by("-----BEGIN RSA PUBLIC KEY-----", "", "")


def test_a_bundle_cannot_be_signed_without_a_key(
    product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="BUNDLE_KEY is not set"):
        write(tmp_path / "x.bundle", product, predicted("1 AS k"), ("k",), 1, "BUNDLE_KEY")
    (tmp_path / "key.pem").write_text("s3cret")
    monkeypatch.setenv("BUNDLE_KEY", str(tmp_path / "key.pem"))
    with pytest.raises(UsageError, match="cannot be read as a private key") as refused:
        write(tmp_path / "x.bundle", product, predicted("1 AS k"), ("k",), 1, "BUNDLE_KEY")
    assert "s3cret" not in str(refused.value)
    assert not (tmp_path / "x.bundle").exists()


def test_the_reader_in_one_file_needs_python_alone(product: Product, tmp_path: Path, signing: str) -> None:
    write(tmp_path / "x.bundle", product, predicted("DATE '2026-03-10' AS k"), ("k",), 1, "BUNDLE_KEY")
    (tmp_path / "public.pem").write_text(signing)
    (tmp_path / "almanac_bundles.py").write_text(said(tmp_path, "reader"))
    program = """
import sys; sys.path.insert(0, ".")
from datetime import datetime
from pathlib import Path
from almanac_bundles import WronglySigned, open_bundle
bundle = open_bundle("x.bundle", Path("public.pem").read_text(), now=datetime(2026, 3, 11))
print(bundle.look_up({"k": "2026-03-10"}, datetime(2026, 3, 11))["probability"])
print(bundle.look_up({"k": "2026-03-11"}, datetime(2026, 3, 11)))
print({name.partition(".")[0] for name in sys.modules} & {"jobs", "warehouse", "duckdb", "cryptography"})
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("0.5\nNone\nset()\n", "")


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("{to: out/x.bundle, table: x}", "`table` goes with a database"),
        ("{to: out/x.bundle, signed_with: key.pem}", "names the environment variable"),
        ("{to: 's3://bucket/x.bundle/'}", "copy it to the bucket"),
        ("{to: out/x.sqlite, signed_with: KEY}", "goes with a .bundle"),
        (
            "{to: out/x.bundle, columns: [order_id, as_of, valid_until]}",
            "leaves out `model_version`, which every answer",
        ),
    ],
)
def test_a_bundle_that_cannot_be_is_told_with_its_line(starter: Path, target: str, told: str) -> None:
    header = starter / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(f"{header.read_text()}\nexport:\n  app: {target}\n")
    with pytest.raises(DefinitionError, match=told):
        open_suite(starter, clock_at(NOW)).definitions.product(PRODUCT)


def test_a_directory_that_we_did_not_make_is_refused_and_stays(product: Product, tmp_path: Path) -> None:
    (tmp_path / "x.bundle").mkdir()
    (tmp_path / "x.bundle/manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="nothing was written"):
        write(tmp_path / "x.bundle", product, predicted("1 AS k"), ("k",))
    assert [path.name for path in (tmp_path / "x.bundle").iterdir()] == ["manifest.json"]
