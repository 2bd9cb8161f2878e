-- The newest publication of a page, and the run that wrote it. Parameters: product, as_of.
SELECT
    pages.as_of, pages.state, pages.n_rows, pages.model_version, pages.hindsight, pages.valid_until,
    pages.recorded_at AS published_at, pages.run_id, pages.ingest_id, pages.snapshot_id, pages.definitions,
    pages.note, runs.n_pages AS pages_of_run, runs.wall_s AS seconds_of_run, runs.cpu_s AS cpu_seconds_of_run,
    runs.peak_memory_bytes, runs.bytes_written
FROM ledger.published_pages AS pages
LEFT JOIN ledger.runs AS runs ON runs.run_id = pages.run_id
WHERE pages.product = $1 AND pages.kind = 'predictions' AND pages.as_of = $2
ORDER BY runs.finished_at DESC
LIMIT 1
