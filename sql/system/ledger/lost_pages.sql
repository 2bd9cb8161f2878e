-- The newest publication of each page: what readers see. A page whose data file was lost is none until it is made again.
CREATE OR REPLACE VIEW ledger.published_pages AS
SELECT *
FROM (
    SELECT *
    FROM ledger.pages
    WHERE state IN ('published', 'lost')
    QUALIFY row_number() OVER (PARTITION BY product, kind, as_of ORDER BY snapshot_id DESC, recorded_at DESC) = 1
)
WHERE state = 'published';
