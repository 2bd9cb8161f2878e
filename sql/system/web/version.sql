-- What the ledger has of a version. Parameters: product, version.
SELECT
    version, trained_at, trained_by, label_cutoff, first_page, last_page, n_pages, n_rows, estimator, parameters,
    pipeline, scorer, scorer_reason, seed, libraries, platform, artifact, sha256, run_id, reason
FROM ledger.models
WHERE product = $1 AND version = $2
