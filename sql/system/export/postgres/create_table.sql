-- A table for a target, without its key: that is made once the rows are there. Only what is dropped again may be unlogged,
-- since a crash of the server empties it; to fill a table and then to log it takes longer than to log it at once.
CREATE {unlogged} TABLE {place} ({columns})
