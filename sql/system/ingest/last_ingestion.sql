-- At what time a source was last taken in, by the clock of then; NULL if it never was. Parameter: source.
SELECT arg_max(ingested_at, ingest_id)
FROM ledger.ingestions
WHERE source = $1
