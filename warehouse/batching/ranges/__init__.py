"""The range way: one query for many feature pages, where the author's query is understood.

A feature group is one SELECT for one instant `$as_of`. Run page by page, a window of 28 days over daily pages
reads each fact 28 times. `recognition.recognise` takes the parsed query apart and, where every part of it can be put
together from partial aggregates exactly, gives one query for all pages; otherwise it says why not. It knows
nothing of the lake: the caller describes the sources, names the relations, runs the query, and compares.
"""
