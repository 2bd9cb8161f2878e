-- The profiles of pages as wholes. Those of labels are for reading: what labels say of pages is judged by their loss.
SELECT *, NULL::VARCHAR AS segment
FROM ledger.profiles
WHERE kind IN ('features', 'predictions')
