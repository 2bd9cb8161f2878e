-- Takes records of pages of a kind out of the ledger: of pages that do not stay all, of others those that were written
-- later than the publication that stays, and what was not published. Parameters: the product, the kind of page, the pages
-- that stay, and of each the snapshot of its publication.
DELETE FROM ledger.pages
WHERE product = $1 AND kind = $2 AND (state <> 'published' OR NOT EXISTS (
    FROM (SELECT unnest($3::TIMESTAMP[]) AS as_of, unnest($4::BIGINT[]) AS snapshot_id) AS kept
    WHERE kept.as_of = pages.as_of AND pages.snapshot_id <= kept.snapshot_id
))
