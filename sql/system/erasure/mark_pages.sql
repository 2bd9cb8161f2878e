-- Say of published pages how many rows they have left, by which commit they are what they are, and why.
-- Parameters: product, kind; of each page its as_of, rows, snapshot; the note; the snapshot that it had before.
UPDATE ledger.pages
SET n_rows = changed.n_rows, snapshot_id = changed.snapshot_id, note = $6
FROM (
    SELECT
        unnest($3::TIMESTAMP[]) AS as_of, unnest($4::BIGINT[]) AS n_rows, unnest($5::BIGINT[]) AS snapshot_id,
        unnest($7::BIGINT[]) AS before
) AS changed
WHERE pages.product = $1 AND pages.kind = $2 AND pages.state = 'published'
    AND pages.as_of = changed.as_of AND pages.snapshot_id = changed.before
