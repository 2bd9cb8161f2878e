"""A person who is known by a number, which a product calls by another name: the ledger quotes it beside that name."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.check.making import said_of_the_erased
from jobs.cli.output.erased import lines_of_erasure
from jobs.erasure.erase import erase, what_ends
from jobs.erasure.person import find_person
from jobs.erasure.product_rows import rows_of_products
from jobs.erasure.search import traces
from jobs.facts.ingest import ingest
from jobs.monitoring.judging.judgements import judge_and_write
from jobs.monitoring.performance.judge import judge_performance
from jobs.monitoring.profile import monitor
from jobs.pages.predict import predict_pages, run_page
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.conftest import clock_at, reopened
from tests.lakes import rows
from warehouse.errors import UsageError

FIRST, LAST = datetime(2026, 3, 2, 6), datetime(2026, 3, 9, 6)
DAY = timedelta(days=1)
#: Who is erased: alone in one club, and the highest number of another.
WHO = 7
FILES = {
    "sql/sources/visits.sql": """/*
description: Somebody came.
owner: club
key: [visit_id]
files: data/visits*.csv
known_at: visited_at
subject: {person: member_id}
*/
SELECT visit_id, member_id, club, minutes, visited_at
FROM read_csv($files, header = true, types = {
    'visit_id': 'BIGINT', 'member_id': 'BIGINT', 'club': 'VARCHAR', 'minutes': 'INTEGER', 'visited_at': 'TIMESTAMP'
})
""",
    "sql/features/clubs.sql": """/*
description: Who has the highest number of a club, and how many come there.
owner: club
key: [club]
*/
SELECT club, max(member_id) AS newest_client, count(DISTINCT member_id) AS n_members
FROM visits
GROUP BY club
""",
    "sql/products/staying/product.yaml": """description: Whether somebody comes again within two days.
owner: club
keys: [client]
features: [clubs]
label: {kind: binary, matures_within: 3 days}
model: {sql: score.sql}
pages: {cron: "0 6 * * *", zone: UTC, since: 2026-02-20}
valid_for: 24 hours
fallback: {of: labels, pages: 3, levels: {newest: [club, newest_client], club: [club], all: []}}
monitor: {segments: [client]}
""",
    "sql/products/staying/entities.sql": """/*
description: Whoever was here in the last week.
*/
SELECT member_id AS client, max(club) AS club, count(*) AS n_visits
FROM visits
WHERE visited_at >= $as_of - INTERVAL 7 DAY
GROUP BY member_id
""",
    "sql/products/staying/label.sql": """/*
description: 1 if they came within two days.
*/
SELECT member_id AS client, max((visited_at BETWEEN $as_of AND $as_of + INTERVAL 2 DAY)::INTEGER) AS label
FROM visits
WHERE $known_by >= $as_of + INTERVAL 2 DAY + INTERVAL 1 HOUR
GROUP BY member_id
""",
    "sql/products/staying/score.sql": """/*
description: A rule.
*/
SELECT client, n_visits / 30.0 AS probability FROM page
""",
    "sql/products/staying/checks/likely.sql": """/*
description: Whom a person should look at.
severity: warning
*/
SELECT client, n_visits FROM page WHERE client >= 6
""",
    "schedules.yaml": "jobs: {}\n",
}


@pytest.fixture(scope="module")
def _club(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("numbers") / "club"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    lines = ["visit_id,member_id,club,minutes,visited_at"]
    for day in range(25):
        for member in range(1, 10):
            if member == WHO or (day + member) % 3:
                # Seven come to the large club.
                club = {WHO: "Tiny", 5: "Billstedt"}.get(member, "Altona")
                at = datetime(2026, 2, 18, 8) + day * DAY + member * timedelta(minutes=7)
                lines.append(f"{day * 100 + member},{member},{club},{20 + member},{at}")
        lines.append(f"{day * 100 + 50},{WHO},Billstedt,30,{datetime(2026, 2, 18, 20) + day * DAY}")
    (root / "data").mkdir()
    (root / "data/visits.csv").write_text("\n".join(lines) + "\n")
    suite = open_suite(root, clock_at(datetime(2026, 4, 1)))
    ingest(suite)
    train(suite, "staying", datetime(2026, 2, 26))
    product = suite.definitions.product("staying")
    predict_pages(suite, product, product.pages_between(FIRST, LAST))
    judge_and_write(suite, product)
    judge_performance(suite, product.name)
    suite.lake.close()
    return root


@pytest.fixture
def club(_club: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setenv("ALMANAC_ERASE_KEY", "a key that only tests have")
    shutil.copytree(_club, tmp_path / "club")
    return open_suite(tmp_path / "club", clock_at(datetime(2026, 4, 1)))


#: How many rows of the ledger, and of pages, say of the person by their number what they are.
NAMED = {
    "wrong rows": "SELECT count(*) FROM ledger.wrong_rows WHERE (wrong_row::JSON ->> 'client')::INTEGER = 7",
    "sums": "SELECT count(*) FROM ledger.label_sums WHERE group_values[list_position(columns, 'newest_client')] = '7'",
    "lone sums": "SELECT count(*) FROM ledger.label_sums WHERE group_values = ['Tiny']",
    "segments": "SELECT count(*) FROM ledger.performance WHERE segment = 'client' AND segment_value = '7'",
    "rows": "SELECT count(*) FROM features.staying WHERE client = 7",
    "cells": "SELECT count(*) FROM features.staying WHERE newest_client = 7 AND client <> 7",
    "profiles": "SELECT count(*) FROM ledger.profiles WHERE column_name = 'newest_client' AND 7 IN (low, high)",
}


def counted(suite: Suite) -> dict[str, int]:
    return {name: rows(suite, query)[0][0] for name, query in NAMED.items()}


def test_a_number_is_found_beside_the_name_that_a_product_has_for_it(club: Suite) -> None:
    before = counted(club)
    assert min(before.values()) > 0, before
    others = "SELECT * EXCLUDE (newest_client) FROM features.staying WHERE client <> 7 ORDER BY ALL"
    kept = rows(club, others)
    sums = "SELECT columns, count(*) FROM ledger.label_sums WHERE len(group_values) < 2 GROUP BY ALL ORDER BY ALL"
    assert [n_groups for _, n_groups in rows(club, sums)] == [1, 3]
    # What proves an erasure sees all of that, too.
    with club.lake.reading() as connection:
        person = find_person(connection, club.definitions, "person", str(WHO))
    rows_of_products(club, person)
    found = " ".join(traces(club, person.marks))
    # The sums are few, and so in the catalogue itself.
    assert [name for name in ("wrong_rows", "performance", "inlined_data") if name not in found] == []
    told = what_ends(club, "person", str(WHO))
    assert any("predictions.staying_fallback, in sums of labels over many" in one for one in told.counted)
    assert any("What counts them among others" in line for line in lines_of_erasure(told, "person=7"))
    with pytest.raises(UsageError, match="--reason names the person"):
        erase(club, "person", str(WHO), "person 7 has asked for it")
    done = erase(club, "person", str(WHO), "ticket 512")
    assert done.left == []
    again = reopened(club)
    assert counted(again) == dict.fromkeys(NAMED, 0)
    # The rows of others are what they were: a count that happens to be the number is no name.
    assert rows(again, others) == kept
    assert [n_groups for _, n_groups in rows(again, sums)] == [1, 2]
    assert rows(again, "SELECT count(*) FROM predictions.staying_fallback WHERE level = 'all'") == [(1,)]


def test_sums_over_many_count_them_no_more_once_the_page_is_made_again(club: Suite) -> None:
    n_rows = "SELECT n_rows FROM predictions.staying_fallback WHERE level = 'all'"
    ((before,),) = rows(club, n_rows)
    erase(club, "person", str(WHO))
    again = reopened(club)
    assert rows(again, n_rows) == [(before,)]
    ((page, note),) = rows(
        again,
        "SELECT as_of, note FROM ledger.published_pages WHERE kind = 'predictions' ORDER BY as_of DESC LIMIT 1",
    )
    assert note == "counted a person who was erased on 2026-04-01"
    # It is not stale, so that a check of other definitions says what else differs.
    product = again.definitions.product("staying")
    (told,) = said_of_the_erased(again, product, [page])
    assert told.startswith("1 page had counted a person who was erased since")
    run_page(again, "staying", page)
    assert said_of_the_erased(again, product, [page]) == []
    assert rows(again, n_rows) == [(before - 3,)]
    assert all(one.made > 0 for one in monitor(again, "staying", make_profiles=True))
