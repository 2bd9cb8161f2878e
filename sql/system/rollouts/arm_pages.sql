-- What arms wrote of some pages, as these were published last; a page that was made again without arms has none.
SELECT {columns}
FROM ledger.arms AS arms
SEMI JOIN ledger.published_pages AS pages
    ON
        arms.product = pages.product
        AND arms.as_of = pages.as_of
        AND arms.run_id = pages.run_id
        AND arms.snapshot_id = pages.snapshot_id
        AND pages.kind = 'predictions'
WHERE arms.product = $1 AND arms.as_of BETWEEN $2 AND $3
ORDER BY arms.as_of, arms.arm
