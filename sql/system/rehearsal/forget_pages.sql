-- Takes the records of pages out of the ledger, but for some pages, and of those what was not published. Parameters: the
-- product, the kind of page, and the pages that stay.
DELETE FROM ledger.pages
WHERE product = $1 AND kind = $2 AND (state <> 'published' OR as_of NOT IN (SELECT unnest($3::TIMESTAMP[])))
