-- That a derivation was dropped; all else stays as it was when it was made. Parameters: source, derivation, the time.
INSERT INTO ledger.derivations BY NAME
SELECT * REPLACE ('dropped' AS state, $3::TIMESTAMP AS recorded_at)
FROM ledger.derivations
WHERE source = $1 AND derivation = $2 AND state = 'made'
