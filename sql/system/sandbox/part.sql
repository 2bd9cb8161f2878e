-- The rows of a source that one shard of a page is made from.
CREATE OR REPLACE VIEW {view} AS
SELECT *
FROM {whole}
WHERE {shown}
