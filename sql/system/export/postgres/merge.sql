-- Bring a table, or one page of it, to what was staged: rows that differ are written, keys that are gone are removed.
-- What differs is found by joins first: ON CONFLICT looks up each row in the index, and locks, and so writes, each that
-- it finds, changed or not. It stays for rows that others put there meanwhile. Without ANALYZE the server would plan
-- the joins for a table of a few rows. What differs is a table of its own, since only then several of the server's
-- processes look for it.
ANALYZE {staged} ({keys});
CREATE UNLOGGED TABLE {changed} AS
SELECT {staged_columns}
FROM {staged} AS staged
LEFT JOIN {place} AS there ON {same_key_there} AND {page_there}
WHERE there.{one_key} IS NULL OR ({there}) IS DISTINCT FROM ({staged_others});
INSERT INTO {place} AS held ({columns})
SELECT {columns} FROM {changed}
ON CONFLICT ({keys}) DO UPDATE SET {settings};
DROP TABLE {changed};
-- All keys that were staged are there now: where there are no more rows than those, none is gone, and counting is cheap.
DELETE FROM {place} AS held
WHERE
    {page_held}
    AND (SELECT count(*) FROM {place} AS held WHERE {page_held}) > {n_rows}
    AND NOT EXISTS (SELECT 1 FROM {staged} AS staged WHERE {same_key});
DROP TABLE {staged}
