"""What a person is found by in texts: their own words wherever they stand, numbers behind a name."""

from __future__ import annotations

import duckdb
import pytest

from jobs.erasure.marks import Marks
from jobs.erasure.named_values import named_in

MARKS = Marks.of(
    ["Ada Lovelace", "ada@example.org", "abc"], {"customer_id": ["17"], "customer": ["17"], "order": ["O-9.1"]}
)


@pytest.mark.parametrize(
    ("said", "blotted"),
    [
        ("the customer Ada Lovelace, late", "the customer [erased], late"),
        ("to=ada@example.org;", "to=[erased];"),
        ("ada@example_org Ada Lovelaces abc", "ada@example_org Ada Lovelaces abc"),
        ('{"customer_id": 17, "n": 17}', '{"[erased], "n": 17}'),
        ("customer_id: 170 or 17 rows", "customer_id: 170 or 17 rows"),
        ("cannot read O-9.1", "cannot read [erased]"),
        ("cannot read O-9x1", "cannot read O-9x1"),
    ],
)
def test_texts_are_kept_without_what_names_the_person_in_python_and_in_sql_alike(said: str, blotted: str) -> None:
    assert MARKS.blotted(said) == blotted
    assert MARKS.are_in(said) == (said != blotted)
    values = [*MARKS.patterns]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE texts AS SELECT $1 AS text", [said])
        query = f"SELECT {MARKS.sql_blots('text')}, {MARKS.sql_finds('text')} FROM texts"
        assert connection.execute(query, values).fetchone() == (blotted, said != blotted)


def test_many_texts_are_found_by_several_expressions() -> None:
    many = Marks.of([f"person {number}" for number in range(500)], {"customer": ["17"]})
    assert len(many.patterns) > 1
    assert many.are_in("and person 499 too")
    assert not many.are_in("and person 500 too")


def test_each_value_of_a_row_stands_behind_its_own_name() -> None:
    of_column = {"column_name": "client", "top_values": ["5", "17"]}
    assert [*named_in(of_column)] == ["client: 5", "client: 17"]
    # As a catalogue has a list that it holds itself.
    assert [*named_in(of_column | {"top_values": "[5, 17]"})] == ["client: 5", "client: 17"]
    assert [*named_in({"columns": ["club", "client"], "group_values": ["2", "17"]})] == ["club: 2", "client: 17"]
    assert [*named_in({"segment": "client", "segment_value": "17"})] == ["client: 17"]
    assert [*named_in({"segment": None, "segment_value": None})] == []
