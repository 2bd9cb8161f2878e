"""Which publications go out to a target, by what waits, what is published and what went out before."""

from __future__ import annotations

from datetime import datetime, timedelta

from jobs.export.due import Asked, Outgoing, outgoing
from warehouse.ledger.exports import ExportRecord, OutboxRecord
from warehouse.ledger.records import PageRecord

AT = datetime(2026, 3, 10, 18)
NOBODY, BY_NAME = Asked(), Asked(by_name=True)


def page(day: int, snapshot: int) -> PageRecord:
    return PageRecord("p", "predictions", AT + day * timedelta(days=1), "published", "r", "d", 1, AT, snapshot)


def waits(day: int, snapshot: int) -> OutboxRecord:
    return OutboxRecord("p", "t", AT + day * timedelta(days=1), snapshot, "waiting", "r", AT)


def went(day: int, snapshot: int) -> ExportRecord:
    return ExportRecord("p", "t", AT + day * timedelta(days=1), snapshot, "exported", "out", 1, "r", AT)


def said(found: list[Outgoing]) -> list[tuple[int, int, list[int]]]:
    """Give the day and the snapshot of what goes out, and the snapshots of what goes out with it."""
    return [
        ((one.page.as_of - AT).days, one.page.snapshot_id, [row.snapshot_id for row in one.alongside]) for one in found
    ]


def test_what_is_current_goes_out_once_with_all_that_it_makes_up_for() -> None:
    published = [page(0, 5), page(1, 7), page(2, 7)]
    # Of pages of one commit the newest stands for it; what waits besides has gone out with it, its own row included.
    due = outgoing(False, [waits(0, 5), waits(1, 7), waits(2, 7)], published, [went(0, 4)], NOBODY)
    assert said(due) == [(2, 7, [5, 7, 7])]
    assert [due[0].is_superseded(row) for row in due[0].alongside] == [True, False, False]
    # Nothing waits: nothing goes out, but to a target that has had nothing yet, or that somebody names.
    assert said(outgoing(False, [], published, [went(0, 7)], NOBODY)) == []
    assert said(outgoing(False, [], published, [], NOBODY)) == said(
        outgoing(False, [], published, [went(0, 7)], BY_NAME)
    )
    assert said(outgoing(False, [], published, [], NOBODY)) == [(2, 7, [])]


def test_a_publication_whose_page_is_no_more_counts_for_when_it_was() -> None:
    assert said(outgoing(False, [waits(3, 9)], [page(0, 5)], [went(0, 5)], NOBODY)) == [(0, 9, [9])]
    assert outgoing(False, [waits(3, 9)], [], [], BY_NAME) == []


def test_pages_go_out_in_order_and_the_newest_alone_where_nothing_waits() -> None:
    published = [page(day, 5 + day) for day in (9, 4, 2, 7, 0, 1)]
    waiting = [waits(day, 5 + day) for day in (7, 0, 4)]
    assert said(outgoing(True, waiting, published, [], NOBODY)) == [(0, 5, [5]), (4, 9, [9]), (7, 12, [12])]
    assert said(outgoing(True, waiting, published, [], BY_NAME)) == [(0, 5, [5]), (4, 9, [9]), (7, 12, [12])]
    assert said(outgoing(True, [], published, [went(0, 5)], NOBODY)) == []
    assert said(outgoing(True, [], published, [], NOBODY)) == [(9, 14, [])]
    one = Asked(by_name=True, page=AT + timedelta(days=2))
    assert said(outgoing(True, waiting, published, [], one)) == [(2, 7, [])]
