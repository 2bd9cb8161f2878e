-- Make a filled table one that is looked up.
ALTER TABLE {place} ADD PRIMARY KEY ({keys});
ANALYZE {place}
