-- A table for a target, without its key: that is made once the rows are there.
CREATE {unlogged} TABLE {place} ({columns})
