"""Whether a query can be asked shard by shard: by which columns of its sources, or which clause stands in the way.

A shard holds the rows of each split source whose columns hash to it; every other source is read whole. A query splits
if its rows over the shards, put together, are its rows over everything: then the author's text runs unchanged on each.
"""
