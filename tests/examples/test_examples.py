"""Examples beside the SQL: given facts are seen as a sandbox would show them, and what differs is told in words."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest

from jobs.examples.run import ExampleResult, run_examples
from jobs.suites.starter import make_starter
from tests.command_line import almanac
from warehouse.definitions import load_definitions
from warehouse.errors import DefinitionError, NotFoundError

LOAD = "sql/features/courier_load.tests.yaml"
HEAD = """
    examples:
      one:
        as_of: 2026-03-10 18:00
"""
ORDER = "{order_id: o1, courier: ann, parcels: 2, ordered_at: 2026-03-10 09:00, promised_at: 2026-03-10 20:00}"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    make_starter(tmp_path / "shop")
    return tmp_path / "shop"


def run(shop: Path, name: str, text: str, where: str = LOAD) -> ExampleResult:
    (shop / where).parent.mkdir(parents=True, exist_ok=True)
    (shop / where).write_text(dedent(text))
    (result,) = run_examples(load_definitions(shop), [name])
    return result


def of_load(shop: Path, given: str, expect: str) -> list[str]:
    return run(shop, "courier_load", f"{HEAD}        given: {given}\n        expect: {expect}\n").differences


def orders(*rows: str) -> str:
    return f"{{orders: [{', '.join(rows)}]}}"


def test_the_starters_examples_pass_and_no_lake_is_made(shop: Path) -> None:
    results = run_examples(load_definitions(shop))
    assert [one.differences for one in results] == [[], [], [], []]
    assert not (shop / "lake").exists()


def test_each_kind_of_difference_is_told(shop: Path) -> None:
    given = "{orders: [" + ORDER + ", " + ORDER.replace("o1", "o2").replace("ann", "bob") + "], deliveries: []}"
    expect = "[{courier: ann, courier_open_orders: 2, courier_open_parcels: 2}, {courier: cleo}]"
    assert of_load(shop, given, expect) == [
        "courier=ann: courier_open_orders is 1, expected 2",
        "courier=cleo: expected, and not there",
        "courier=bob: there, and not expected",
    ]


def test_facts_are_seen_as_they_were_known(shop: Path) -> None:
    # Deliveries reach us within five minutes: one of 17:55 is not known at 18:00, one of 17:54 is.
    for minute, expect in (("55", "[{courier: ann, courier_open_orders: 1}]"), ("54", "[]")):
        given = "{orders: [" + ORDER + "], deliveries: [{order_id: o1, delivered_at: 2026-03-10 17:" + minute + "}]}"
        assert of_load(shop, given, expect) == []


def test_versions_of_a_fact_are_given_with_the_instants_at_which_they_became_known(shop: Path) -> None:
    path = shop / "sql/sources/orders.sql"
    path.write_text(path.read_text().replace("rules:", "withdrawn: parcels = 99\nrules:"))
    first, later, gone = (
        ORDER[:-1].replace("parcels: 2", f"parcels: {n}") + f", known_at: 2026-03-10 {at}" + "}"
        for n, at in ((2, "09:00"), (5, "10:00"), (99, "17:54"))
    )
    five = "[{courier: ann, courier_open_parcels: 5}]"
    assert of_load(shop, orders(first, later), five) == []
    assert of_load(shop, orders(first, later, gone), "[]") == []
    assert of_load(shop, orders(first, later, gone.replace("17:54", "17:55")), five) == []
    (told,) = of_load(shop, orders(ORDER, ORDER.replace("parcels: 2", "parcels: 3")), "[]")
    assert "different rows for this key" in told
    assert "say `known_at` of each" in told


def test_a_given_row_that_the_source_would_turn_away_fails_the_example(shop: Path) -> None:
    wrong = ORDER.replace("parcels: 2", "parcels: 0")
    (told,) = of_load(shop, "{orders: [" + wrong + "]}", "[]")
    assert "orders would turn a row away: an order has parcels" in told
    (told,) = of_load(shop, "{orders: [" + wrong[:-1] + ", known_at: 2026-03-10 09:00}]}", "[]")
    assert "an order has parcels" in told


@pytest.mark.parametrize(
    ("given", "expect", "said"),
    [
        ("{orders: [{order_id: 007, parcels: 1}]}", "[]", "put it in quotes"),
        ("{orders: [{order_id: o1, parcels: 1.5}]}", "[]", "which INTEGER holds as 2"),
        ("{orders: [{order_id: o1, parcels: many}]}", "[]", "Could not convert"),
        ("{orders: [{order_id: o1, boxes: 1}, {order_id: o2}], deliveries: []}", "[]", "known_at is NULL"),
        ("{orders: []}", "[{courier: ann, orders: 1}]", "`expect` names orders; the columns are: courier"),
        ("{orders: []}", "[{courier_open_orders: 1}]", "`expect` needs the key (courier)"),
        ("{orders: {path: data/none.csv}}", "[]", "there is no file data/none.csv"),
    ],
)
def test_what_does_not_fit_is_told_with_what_to_do(shop: Path, given: str, expect: str, said: str) -> None:
    assert said in " ".join(of_load(shop, given, expect))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("examples: {one: {expect: []}}", "the key `as_of` is missing"),
        (f"{HEAD}        expect: []\n        known_by: 2026-03-11", "`known_by` goes with examples of label"),
        (f"{HEAD}        expect: []\n        rejects: []", "`rejects` goes with examples of a source"),
        (f"{HEAD}        expect: []\n        given: {{order: []}}", "gives `order`"),
        (f"{HEAD}        expects: []", "unknown key `examples.one.expects`. Did you mean `expect`?"),
        (f"{HEAD}        as_of: 2026-03-11", "given twice"),
    ],
)
def test_a_file_of_examples_that_is_wrong_is_refused_with_its_line(shop: Path, text: str, said: str) -> None:
    with pytest.raises(DefinitionError) as error:
        run(shop, "courier_load", text)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{LOAD}:")


def test_examples_that_nobody_would_run_are_named(shop: Path) -> None:
    (shop / "sql/features/courier_laod.tests.yaml").write_text("examples: {one: {expect: []}}")
    with pytest.raises(DefinitionError, match=r"no courier_laod\.sql beside it"):
        run_examples(load_definitions(shop))
    (shop / "sql/features/courier_laod.tests.yaml").unlink()
    with pytest.raises(NotFoundError, match="there is no source, feature group or product `orderz`"):
        run_examples(load_definitions(shop), ["orderz"])
    with pytest.raises(NotFoundError, match="`deliveries` has no examples"):
        run_examples(load_definitions(shop), ["deliveries"])


def test_a_query_that_fails_does_not_hide_the_other_examples(shop: Path) -> None:
    path = shop / "sql/features/courier_load.sql"
    path.write_text(path.read_text().replace("sum(parcels)", "sum(boxes)"))
    results = run_examples(load_definitions(shop))
    assert [one.passed for one in results] == [True, False, False, True]
    assert "sql/features/courier_load.sql:6" in results[1].differences[0]


def test_files_and_texts_are_read_by_the_sources_own_select(shop: Path) -> None:
    header = "order_id,depot,courier,parcels,ordered_at,promised_at\n"
    (shop / "data/given.csv").write_text(f"{header}o1,north,ann,two,2026-03-10 09:00,2026-03-10 20:00\n")
    where = "sql/sources/orders.tests.yaml"
    example = "examples: {one: {given: {orders: {path: data/given.csv}}, expect: []}}"
    (told,) = run(shop, "orders", example, where).differences
    assert told.startswith("rejects: order_id=o1")
    (shop / "data/given.csv").write_text(f"{header}o1,north,ann,2,2026-03-10 09:00,2026-03-10 20:00\n")
    (told,) = run(shop, "orders", example, where).differences
    assert told == "order_id=o1: there, and not expected"


def test_a_check_is_given_a_page(shop: Path) -> None:
    checks = shop / "sql/products/late_order/checks"
    (checks / "sure.sql").write_text("/*\ndescription: sure\n*/\nSELECT order_id FROM page WHERE prediction > 0.9")
    text = f"""{HEAD}
        given: {{page: [{{order_id: o1, prediction: 0.95}}, {{order_id: o2, prediction: 0.5}}]}}
        expect: [{{order_id: o1}}]
    """
    for name in (LOAD, "sql/sources/orders.tests.yaml", "sql/products/late_order/label.tests.yaml"):
        (shop / name).unlink()
    result = run(shop, "late_order", text, "sql/products/late_order/checks/sure.tests.yaml")
    assert result.passed, result.differences


def test_a_feature_group_can_be_given_or_computed(shop: Path) -> None:
    (shop / "sql/features/crowd.sql").write_text(
        "/*\ndescription: all\nkey: [n]\n*/\nSELECT count(*) AS n, sum(courier_open_orders) AS total FROM courier_load"
    )
    where = "sql/features/crowd.tests.yaml"
    given = f"{HEAD}        given: {{courier_load: [{{courier_open_orders: 3}}]}}\n        expect: [{{n: 1, total: 3}}]"
    assert run(shop, "crowd", given, where).passed
    computed = f"{HEAD}        given: {{orders: [{ORDER}]}}\n        expect: [{{n: 1, total: 1}}]"
    assert run(shop, "crowd", computed, where).differences == []


def test_the_command_tells_programs_and_people(shop: Path) -> None:
    done = almanac(shop, "test", "courier_load", "--json")
    assert done.returncode == 0
    assert [one["passed"] for one in json.loads(done.stdout)] == [True, True]
    path = shop / LOAD
    path.write_text(path.read_text().replace("courier_open_orders: 1,", "courier_open_orders: 4,"))
    done = almanac(shop, "test")
    assert done.returncode == 1
    assert "courier=ann: courier_open_orders is 1, expected 4" in done.stdout
    assert "4 examples, 1 failed." in done.stdout
