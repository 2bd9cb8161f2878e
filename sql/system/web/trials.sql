-- Tries of searches for a better model, the newest search first. Parameter: product.
SELECT search_id, trial, rung, state, estimator, without, loss, n_pages, n_judged, cpu_s, page_seconds, reason
FROM ledger.trials
WHERE product = $1
ORDER BY snapshot_id DESC, search_id, rung DESC, loss NULLS LAST, trial
LIMIT 100
