-- The ingestions from an instant on, into a file beside the lake, until a rehearsal has come to them.
COPY (
    SELECT *
    FROM ledger.ingestions
    WHERE ingested_at >= {begin}
    ORDER BY ingest_id
) TO {file} (FORMAT parquet)
