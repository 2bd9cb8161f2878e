-- The files, by hash, of every delivery of some sources, and of the newer deliveries of all others. Parameters: sources,
-- since when deliveries of others count.
SELECT DISTINCT unnest(files).sha256
FROM ledger.ingestions
WHERE list_contains($1::VARCHAR[], source) OR ingested_at >= $2
