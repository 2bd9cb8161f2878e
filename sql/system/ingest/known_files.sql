-- The files of a source that a derivation of it holds already. Parameters: source, derivation.
SELECT DISTINCT file.sha256, file.path
FROM (
    SELECT unnest(files) AS file
    FROM ledger.ingestions
    WHERE source = $1 AND coalesce(derivation, 1) = $2
)
