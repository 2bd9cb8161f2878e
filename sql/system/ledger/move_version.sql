-- A version lies elsewhere. Parameters: product, version, where, the hash of its manifest.
UPDATE ledger.models SET artifact = $3, sha256 = $4 WHERE product = $1 AND version = $2
