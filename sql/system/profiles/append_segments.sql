-- The profiles of segments, `new_profiles`, of those pages that are published now; a column of a segment is alike from page to page.
INSERT INTO ledger.segment_profiles BY NAME
SELECT *
FROM new_profiles
SEMI JOIN published_now USING (kind, as_of)
ORDER BY kind, column_name, segment, as_of
