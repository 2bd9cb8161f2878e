-- Bring a table to what was staged: rows that differ are written, keys that are gone are removed.
INSERT INTO {place} AS held ({columns})
SELECT {columns}
FROM {staged}
ON CONFLICT ({keys}) DO UPDATE SET {settings}
WHERE ({held}) IS DISTINCT FROM ({excluded});
DELETE FROM {place} AS held
WHERE NOT EXISTS (SELECT 1 FROM {staged} AS staged WHERE {same_key});
DROP TABLE {staged}
