-- Make a filled table one that lasts: an unlogged one is empty after a crash of the server.
ALTER TABLE {place} SET LOGGED;
ALTER TABLE {place} ADD PRIMARY KEY ({keys});
ANALYZE {place}
