-- The profiles of pages as wholes.
SELECT *, NULL::VARCHAR AS segment
FROM ledger.profiles
