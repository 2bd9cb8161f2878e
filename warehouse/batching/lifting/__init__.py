"""The lifted way: the author's query itself, answered for many pages at once.

A query written for one instant `$as_of` is made to answer for a whole table of instants: the page is added to
every relation, join, group and window of it. What costs a query a page, planning above all, is then paid once.
Where a rewrite cannot be shown to keep the meaning, `lift` says why not. It knows nothing of the lake: the
caller describes the tables, makes the relations, runs the query, and compares.
"""

from warehouse.batching.lifting.lift import AS_OF_COLUMN, KNOWN, PAGE, PAGES, SUPERSEDED, LiftedForm, TableShape, lift
from warehouse.batching.syntax.shapes import Reason

__all__ = ["AS_OF_COLUMN", "KNOWN", "PAGE", "PAGES", "SUPERSEDED", "LiftedForm", "Reason", "TableShape", "lift"]
