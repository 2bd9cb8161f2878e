-- Answers whether a product is trained again, and what became of trainings, in the order of their commits. Parameters: the
-- product, and the instant before which they count (NULL: all).
SELECT {columns}
FROM ledger.triggers
WHERE product = $1 AND ($2 IS NULL OR known_by < $2)
ORDER BY snapshot_id, known_by
